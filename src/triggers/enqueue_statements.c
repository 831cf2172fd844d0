/*
 * enqueue_statements.c
 *	  The SQL statements of mf_enqueue().
 *
 * All names and operators are qualified, because the statements run with the search
 * path of the user.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/enqueue_statements.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "triggers/enqueue_private.h"

/*
 * If the key is taken, the row that has it is returned.  It has to be updated for
 * that; setting another column locks it less than setting one of the key would.
 */
#define ON_CONFLICT_RETURN " ON CONFLICT (account, %s) DO UPDATE SET %s = %s.%s"

/* whether that invoice is not sent any more */
#define RETURN_CANCELLED ", status OPERATOR(pg_catalog.=) 'cancelled' " \
	"OR cancel_requested AND status OPERATOR(pg_catalog.<>) 'sent'"

static MfPlan *prepare_insert(MfMapping *mapping, TupleDesc desc);
static char *conflict_clause(const MfTarget *target);
static char *returned_clause(const MfTarget *target);
static char *target_name(const MfMapping *mapping);
static MfPlan *prepare_undo(const MfMapping *mapping);
static MfPlan *prepare_write_back(const MfMapping *mapping, Relation relation);

void
mf_mapping_prepare(MfMapping *mapping, TriggerData *trigger)
{
	mapping->insert = prepare_insert(mapping, RelationGetDescr(trigger->tg_relation));
	if (mapping->id_column != 0)
		mapping->write_back = prepare_write_back(mapping, trigger->tg_relation);
	if (mapping->target.undo != NULL)
		mapping->target.undo_plan = prepare_undo(mapping);
}

/* INSERT INTO mf_invoice (...) VALUES (...) RETURNING id; its parameters are the columns of the sources. */
static MfPlan *
prepare_insert(MfMapping *mapping, TupleDesc desc)
{
	StringInfoData names;
	StringInfoData values;
	Oid			types[MF_MAX_SOURCES];
	int			parameters = 0;
	int			i;

	initStringInfo(&names);
	initStringInfo(&values);
	for (i = 0; i < mapping->source_count; i++)
	{
		const MfSource *source = &mapping->sources[i];

		mapping->has_key |= strcmp(source->field, mapping->target.key) == 0;
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", quote_identifier(source->field));
		if (i > 0)
			appendStringInfoString(&values, ", ");
		if (source->constant != NULL)
			appendStringInfoString(&values, quote_literal_cstr(source->constant));
		else
		{
			types[parameters] = TupleDescAttr(desc, source->column - 1)->atttypid;
			appendStringInfo(&values, "$%d", ++parameters);
		}
	}

	return mf_sql_prepare(mapping->schema, mapping->target.relation, false,
						  psprintf("INSERT INTO %s (%s) VALUES (%s)%s RETURNING id%s",
								   target_name(mapping), names.data, values.data,
								   mapping->has_key ? conflict_clause(&mapping->target) : "",
								   mapping->has_key ? returned_clause(&mapping->target) : ""),
						  parameters, types);
}

static char *
target_name(const MfMapping *mapping)
{
	return psprintf("%s.%s", quote_identifier(get_namespace_name(mapping->schema)), mapping->target.table);
}

static char *
conflict_clause(const MfTarget *target)
{
	const char *column = target->is_invoice ? "priority" : "metadata";

	return psprintf(ON_CONFLICT_RETURN, quote_identifier(target->key), column, target->table, column);
}

/* Whether the row that has the key is cancelled, or undone */
static char *
returned_clause(const MfTarget *target)
{
	if (target->is_invoice)
		return pstrdup(RETURN_CANCELLED);
	return target->undo == NULL ? pstrdup(", false") :
		psprintf(", status OPERATOR(pg_catalog.=) %s", quote_literal_cstr(target->undo));
}

/* The call that undoes a row whose user's row was deleted; no row if there is none, or policies hide it. */
static MfPlan *
prepare_undo(const MfMapping *mapping)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	const char *word = mapping->target.undo;

	return mf_sql_prepare(mapping->schema, mapping->target.relation, false,
						  psprintf("SELECT CASE WHEN t.status OPERATOR(pg_catalog.<>) %s THEN %s(t.id, $2)::text END FROM %s t "
								   "WHERE t.id OPERATOR(pg_catalog.=) $1", quote_literal_cstr(word),
								   quote_qualified_identifier(get_namespace_name(mapping->schema), psprintf("mf_%s", word)),
								   target_name(mapping)),
						  2, types);
}

/* The UPDATE of a user's row, which returns whether the row has the id; $1 is the id of its invoice, $2 its ctid. */
static MfPlan *
prepare_write_back(const MfMapping *mapping, Relation relation)
{
	Oid			types[2] = {INT8OID, TIDOID};
	const char *column = quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(relation), mapping->id_column - 1)->attname));

	return mf_sql_prepare(mapping->schema, RelationGetRelid(relation), false,
						  psprintf("UPDATE ONLY %s SET %s = $1 WHERE ctid OPERATOR(pg_catalog.=) $2 "
								   "RETURNING coalesce(CAST(%s AS pg_catalog.numeric) OPERATOR(pg_catalog.=) $1, false)",
								   quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
															  RelationGetRelationName(relation)),
								   column, column),
						  2, types);
}

const MfPlan *
mf_mapping_update(MfMapping *mapping, TupleDesc desc, uint32 sources)
{
	MfMappingUpdate *update;
	StringInfoData text;
	Oid			types[MF_MAX_SOURCES + 1];
	int			parameters = 1;
	int			i;

	for (i = 0; i < MF_MAX_UPDATES; i++)
	{
		if (mapping->updates[i].sources == sources)
			return mapping->updates[i].plan;
	}

	initStringInfo(&text);
	appendStringInfo(&text, "UPDATE %s SET ", target_name(mapping));
	types[0] = INT8OID;
	for (i = 0; i < mapping->source_count; i++)
	{
		if ((sources & ((uint32) 1 << i)) == 0)
			continue;
		types[parameters] = TupleDescAttr(desc, mapping->sources[i].column - 1)->atttypid;
		appendStringInfo(&text, "%s%s = $%d", parameters > 1 ? ", " : "", quote_identifier(mapping->sources[i].field),
						 parameters + 1);
		parameters++;
	}
	appendStringInfoString(&text, " WHERE id OPERATOR(pg_catalog.=) $1");

	update = &mapping->updates[mapping->next_update];
	if (update->sources != 0)
		mf_sql_retire(update->plan);
	update->sources = 0;
	update->plan = mf_sql_prepare(mapping->schema, mapping->target.relation, false, text.data, parameters, types);
	update->sources = sources;
	mapping->next_update = (mapping->next_update + 1) % MF_MAX_UPDATES;
	return update->plan;
}
