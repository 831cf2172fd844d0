/*
 * enqueue_mapping.c
 *	  The arguments of mf_enqueue(): which column gives which field its value.
 *
 * They are read at the first firing of a trigger, and kept with the prepared
 * statements until the table changes.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/enqueue_mapping.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "triggers/enqueue_private.h"

static const char *const row_fields[] = {MF_ROW_FIELDS};

/* Options among the arguments */
#define ON_UPDATE "on_update"
#define ON_DELETE "on_delete"
#define INTO "into"

static MfMapping *mappings = NULL;
static bool callback_registered = false;

static MfMapping *read_mapping(TriggerData *trigger, Oid schema);
static void read_target(MfMapping *mapping, const TriggerData *trigger);
static void read_argument(MfMapping *mapping, TriggerData *trigger, Relation target, const char *argument);
static void split_argument(const char *argument, const char *trigger_name, char **left, char **right);
static char *without_trailing_blanks(char *text);
static bool has_source(const MfMapping *mapping, const char *field);
static int	find_column(Relation relation, const char *column, const char *field, const char *argument,
						const char *trigger_name);
static void check_id_column(Relation relation, int column);
static bool read_option(MfMapping *mapping, const char *name, const char *value);
static void read_undo(MfMapping *mapping, const char *value);
static void check_required(const MfMapping *mapping, const TriggerData *trigger);
static void check_options(const MfMapping *mapping, const TriggerData *trigger);
static void check_type(Relation relation, Relation target, const MfSource *source);
static const char *find_field(const MfMapping *mapping, const char *name);
static char *field_list(void);
static char *column_list(TupleDesc desc);
static char *unquote_constant(const char *argument, const char *text);
static void retire_mapping(MfMapping *mapping);
static void forget_mapping(Datum arg, Oid relation);
static void forget_names(Datum arg, int cacheid, uint32 hashvalue);

MfMapping *
mf_mapping_get(TriggerData *trigger, Oid schema)
{
	MfMapping **link = &mappings;

	if (!callback_registered)
	{
		CacheRegisterRelcacheCallback(forget_mapping, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_names, (Datum) 0);
		callback_registered = true;
	}

	while (*link != NULL)
	{
		MfMapping  *mapping = *link;

		if (mapping->trigger == trigger->tg_trigger->tgoid &&
			mapping->relation == RelationGetRelid(trigger->tg_relation))
		{
			if (!mapping->stale)
				return mapping;
			*link = mapping->next;
			retire_mapping(mapping);
		}
		else
			link = &mapping->next;
	}
	return read_mapping(trigger, schema);
}

/*
 * Frees a mapping at the end of the transaction.  It may still be in use by an outer
 * call: a trigger of mf_invoice may have changed the user's table and inserted into it.
 */
static void
retire_mapping(MfMapping *mapping)
{
	int			i;

	mf_sql_retire(mapping->insert);
	if (mapping->target.undo_plan != NULL)
		mf_sql_retire(mapping->target.undo_plan);
	if (mapping->write_back != NULL)
		mf_sql_retire(mapping->write_back);
	for (i = 0; i < MF_MAX_UPDATES; i++)
	{
		if (mapping->updates[i].sources != 0)
			mf_sql_retire(mapping->updates[i].plan);
	}
	MemoryContextSetParent(mapping->context, TopTransactionContext);
}

/* Syscache callback: a schema may have been renamed, and the statements contain its name. */
static void
forget_names(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_mapping(arg, InvalidOid);
}

/* Relcache callback: the table has changed; InvalidOid means any table. */
static void
forget_mapping(Datum arg, Oid relation)
{
	MfMapping  *mapping;

	for (mapping = mappings; mapping != NULL; mapping = mapping->next)
	{
		if (!OidIsValid(relation) || mapping->relation == relation || mapping->target.relation == relation)
			mapping->stale = true;
	}
}

/* Reads the arguments of a trigger and prepares the statements. */
static MfMapping *
read_mapping(TriggerData *trigger, Oid schema)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "mf_enqueue mapping", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	MfMapping  *mapping = (MfMapping *) palloc0(sizeof(MfMapping));
	Relation	target;
	int			i;

	mapping->context = context;
	mapping->trigger = trigger->tg_trigger->tgoid;
	mapping->relation = RelationGetRelid(trigger->tg_relation);
	mapping->schema = schema;

	read_target(mapping, trigger);
	target = relation_open(mapping->target.relation, AccessShareLock);
	for (i = 0; i < trigger->tg_trigger->tgnargs; i++)
		read_argument(mapping, trigger, target, trigger->tg_trigger->tgargs[i]);
	relation_close(target, AccessShareLock);

	if (mapping->target.is_invoice)
		check_required(mapping, trigger);
	check_options(mapping, trigger);
	mf_mapping_prepare(mapping, trigger);

	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, TopMemoryContext);
	mapping->next = mappings;
	mappings = mapping;
	return mapping;
}

/* Finds 'into=NAME' among the arguments. */
static void
read_target(MfMapping *mapping, const TriggerData *trigger)
{
	MfTarget   *target = &mapping->target;
	const char *into = "invoice";
	char	   *name;
	char	   *left;
	char	   *right;
	int			i;

	for (i = 0; i < trigger->tg_trigger->tgnargs; i++)
	{
		split_argument(trigger->tg_trigger->tgargs[i], trigger->tg_trigger->tgname, &left, &right);
		if (strcmp(left, INTO) == 0)
			into = right;
	}
	name = psprintf("mf_%s", into);
	target->is_invoice = strcmp(into, "invoice") == 0;
	target->relation = get_relname_relid(name, mapping->schema);
	target->table = quote_identifier(name);
	target->key = target->is_invoice ? "idempotency_key" : psprintf("%s_key", into);
	if (!OidIsValid(target->relation) || !OidIsValid(getExtensionOfObject(RelationRelationId, target->relation)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("trigger \"%s\" has into=%s, but no extension has a table \"%s\" in the schema of mf_enqueue()",
						trigger->tg_trigger->tgname, into, name),
				 errhint("Create the extension that has it, or leave the argument out to make invoices.")));
}

/* Raises an error unless the fields that each invoice needs have a source. */
static void
check_required(const MfMapping *mapping, const TriggerData *trigger)
{
	bool		has_name = has_source(mapping, "customer_name");

	if (has_name && has_source(mapping, "invoice_value"))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("trigger \"%s\" has no source for \"%s\"", trigger->tg_trigger->tgname,
					has_name ? "invoice_value" : "customer_name"),
			 errhint("Add an argument such as '%s=column' to mf_enqueue().",
					 has_name ? "invoice_value" : "customer_name")));
}

/* One argument: 'field=column', 'field=''constant''', 'id=column', or an option. */
static void
read_argument(MfMapping *mapping, TriggerData *trigger, Relation target, const char *argument)
{
	const char *trigger_name = trigger->tg_trigger->tgname;
	Relation	relation = trigger->tg_relation;
	char	   *left;
	char	   *right;
	bool		is_id;
	MfSource   *source;

	split_argument(argument, trigger_name, &left, &right);
	if (read_option(mapping, left, right))
		return;
	is_id = strcmp(left, "id") == 0;
	if (!is_id && find_field(mapping, left) == NULL && !mapping->target.is_invoice)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("argument \"%s\" of trigger \"%s\" names no column of table \"%s\"", argument, trigger_name,
						RelationGetRelationName(target)),
				 errhint("Columns are: %s.", column_list(RelationGetDescr(target)))));
	if (!is_id && find_field(mapping, left) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("argument \"%s\" of trigger \"%s\" names no field of an invoice", argument, trigger_name),
				 errhint("Valid fields are: id, %s. Options are: on_update=sync, on_delete=cancel.", field_list())));
	if (is_id ? mapping->id_column != 0 : has_source(mapping, left))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("argument \"%s\" of trigger \"%s\" names a field again", argument, trigger_name),
				 errhint("Give each field once.")));

	if (is_id)
	{
		mapping->id_column = find_column(relation, right, left, argument, trigger_name);
		check_id_column(relation, mapping->id_column);
		return;
	}
	if (mapping->source_count == MF_MAX_SOURCES)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("trigger \"%s\" has more than %d fields", trigger_name, MF_MAX_SOURCES)));
	source = &mapping->sources[mapping->source_count];
	source->field = find_field(mapping, left);
	if (right[0] == '\'')
		source->constant = unquote_constant(argument, right);
	else
	{
		source->column = find_column(relation, right, left, argument, trigger_name);
		check_type(relation, target, source);
	}
	mapping->source_count++;
}

/* Splits an argument at its first "=", and removes blanks around both parts, which are palloc'd. */
static void
split_argument(const char *argument, const char *trigger_name, char **left, char **right)
{
	const char *start = argument + strspn(argument, " ");
	const char *equals = strchr(start, '=');

	if (equals == NULL || equals == start)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of trigger \"%s\" is not of the form field=column", argument, trigger_name),
				 errhint("Write for example 'customer_name=tenant', or 'notification_option=''EML''' for a constant.")));
	*left = without_trailing_blanks(pnstrdup(start, equals - start));
	*right = without_trailing_blanks(pstrdup(equals + 1 + strspn(equals + 1, " ")));
}

/* Removes blanks at the end of a text, in place. */
static char *
without_trailing_blanks(char *text)
{
	size_t		len = strlen(text);

	while (len > 0 && text[len - 1] == ' ')
		len--;
	text[len] = '\0';
	return text;
}

static bool
has_source(const MfMapping *mapping, const char *field)
{
	int			i;

	for (i = 0; i < mapping->source_count; i++)
	{
		if (strcmp(mapping->sources[i].field, field) == 0)
			return true;
	}
	return false;
}

/* The attribute number of a column; the other arguments are for the error if there is none. */
static int
find_column(Relation relation, const char *column, const char *field, const char *argument, const char *trigger_name)
{
	TupleDesc	desc = RelationGetDescr(relation);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), column) == 0)
			return i + 1;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("argument \"%s\" of trigger \"%s\" names no column of table \"%s\"", argument, trigger_name,
					RelationGetRelationName(relation)),
			 errhint("Columns are: %s. A constant stands in quotes: '%s=''%s'''.", column_list(desc), field, column)));
	return 0;					/* keep compiler quiet */
}

/* Refuses a column that cannot hold every id. */
static void
check_id_column(Relation relation, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), column - 1);
	Oid			type = getBaseType(attribute->atttypid);

	if (type != INT8OID && type != NUMERICOID && type != TEXTOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" cannot hold the id of an invoice", NameStr(attribute->attname),
						RelationGetRelationName(relation)),
				 errdetail("It is of type %s.", format_type_be(attribute->atttypid)),
				 errhint("Make it a bigint.")));
}

/*
 * Reads an option, which says what happens to a queued invoice when its row is changed
 * or deleted.  Returns false if the argument is not an option.
 */
static bool
read_option(MfMapping *mapping, const char *name, const char *value)
{
	bool	   *option = strcmp(name, ON_UPDATE) == 0 ? &mapping->sync :
		strcmp(name, ON_DELETE) == 0 ? &mapping->cancel : NULL;
	const char *valid = option == &mapping->sync ? "sync" : "cancel";

	if (strcmp(name, INTO) == 0)
		return true;
	if (option == NULL)
		return false;
	if (option == &mapping->cancel && !mapping->target.is_invoice)
	{
		read_undo(mapping, value);
		return true;
	}
	if (strcmp(value, valid) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: \"%.40s\"", name, value),
				 errhint("The valid value is \"%s\". Without the argument the invoice stays as it is.", valid)));
	*option = true;
	return true;
}

/* Reads on_delete of another target than mf_invoice: the function is called by that name. */
static void
read_undo(MfMapping *mapping, const char *value)
{
	char	   *name = psprintf("mf_%s", value);
	Oid			types[2] = {INT8OID, TEXTOID};
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
										   PointerGetDatum(buildoidvector(types, 2)), ObjectIdGetDatum(mapping->schema));

	/* one of another extension would be about other rows */
	if (!OidIsValid(function) || getExtensionOfObject(ProcedureRelationId, function) !=
		getExtensionOfObject(RelationRelationId, mapping->target.relation))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: \"%.40s\"", ON_DELETE, value),
				 errdetail("The extension of table \"%s\" has no function %s(bigint, text).",
						   get_rel_name(mapping->target.relation), name)));
	mapping->target.undo = value;
	mapping->cancel = true;
}

/* Refuses an option that would have no effect as the trigger is defined. */
static void
check_options(const MfMapping *mapping, const TriggerData *trigger)
{
	const Trigger *definition = trigger->tg_trigger;
	bool		follows_moves = mapping->sync && trigger->tg_relation->rd_rel->relispartition;
	const char *undo = psprintf(ON_DELETE "=%s", mapping->target.is_invoice ? "cancel" : mapping->target.undo);
	const char *option = mapping->sync ? ON_UPDATE "=sync" : undo;

	if (!mapping->sync && !mapping->cancel)
		return;
	if (mapping->id_column == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has %s, but no argument names the column with the id", definition->tgname, option),
				 errhint("Add an argument such as 'id=column' to mf_enqueue().")));
	if (definition->tgdeferrable)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has %s, so it must not be deferrable", definition->tgname, option),
				 errhint("Create it as a plain trigger, not as a constraint trigger.")));
	if (mapping->sync && !TRIGGER_FOR_UPDATE(definition->tgtype))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has %s, but does not fire for UPDATE", definition->tgname, ON_UPDATE "=sync"),
				 errhint("Create it as AFTER INSERT OR UPDATE ... FOR EACH ROW.")));
	if ((mapping->cancel || follows_moves) && !TRIGGER_FOR_DELETE(definition->tgtype))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has %s, but does not fire for DELETE", definition->tgname,
						mapping->cancel ? undo : option),
				 mapping->cancel ? 0 : errdetail("A row that moves to another partition is deleted here and inserted there."),
				 errhint("Create it as AFTER INSERT OR UPDATE OR DELETE ... FOR EACH ROW.")));
}

/* Refuses a column whose type cannot be assigned to the field. */
static void
check_type(Relation relation, Relation target, const MfSource *source)
{
	Form_pg_attribute from = TupleDescAttr(RelationGetDescr(relation), source->column - 1);
	Oid			to = get_atttype(RelationGetRelid(target), get_attnum(RelationGetRelid(target), source->field));

	if (!can_coerce_type(1, &from->atttypid, &to, COERCION_ASSIGNMENT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" cannot be the source of field \"%s\"",
						NameStr(from->attname), RelationGetRelationName(relation), source->field),
				 errdetail("It is of type %s; the field is of type %s.",
						   format_type_be(from->atttypid), format_type_be(to)),
				 errhint("Change the type of the column, or add a generated column of the right type.")));
}

/* The name of a field that users set, which lives as long as the mapping; NULL if it is not one. */
static const char *
find_field(const MfMapping *mapping, const char *name)
{
	int			i;

	/* rights on the columns of another target are checked when the statement runs */
	if (!mapping->target.is_invoice)
		return get_attnum(mapping->target.relation, name) > 0 ? name : NULL;
	for (i = 0; i < MF_SP_COUNT; i++)
	{
		if (strcmp(mf_send_payment_fields[i].column, name) == 0)
			return mf_send_payment_fields[i].column;
	}
	for (i = 0; i < (int) lengthof(row_fields); i++)
	{
		if (strcmp(row_fields[i], name) == 0)
			return row_fields[i];
	}
	return NULL;
}

/* All fields that users set, comma-separated, palloc'd. */
static char *
field_list(void)
{
	StringInfoData buf;
	int			i;

	initStringInfo(&buf);
	for (i = 0; i < (int) lengthof(row_fields); i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", row_fields[i]);
	for (i = 0; i < MF_SP_COUNT; i++)
		appendStringInfo(&buf, ", %s", mf_send_payment_fields[i].column);
	return buf.data;
}

static char *
column_list(TupleDesc desc)
{
	StringInfoData buf;
	int			i;

	initStringInfo(&buf);
	for (i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", NameStr(TupleDescAttr(desc, i)->attname));
	}
	return buf.data;
}

/* Removes the quotes of a constant: 'it''s' becomes it's, palloc'd. */
static char *
unquote_constant(const char *argument, const char *text)
{
	StringInfoData buf;
	const char *p = text + 1;

	initStringInfo(&buf);
	for (; *p != '\0'; p++)
	{
		if (*p == '\'')
		{
			if (p[1] == '\'')
				p++;
			else
				break;
		}
		appendStringInfoChar(&buf, *p);
	}
	if (*p != '\'' || p[1] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("constant in argument \"%s\" is not quoted properly", argument),
				 errhint("Write for example 'notification_option=''EML'''.")));
	return buf.data;
}

bool
mf_mapping_invoice(const MfMapping *mapping, HeapTuple row, TupleDesc desc, int64 *invoice)
{
	Oid			output;
	bool		is_varlena;
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (mapping->id_column != 0)
		value = heap_getattr(row, mapping->id_column, desc, &isnull);
	if (isnull)
		return false;
	getTypeOutputInfo(TupleDescAttr(desc, mapping->id_column - 1)->atttypid, &output, &is_varlena);
	*invoice = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(OidOutputFunctionCall(output, value))));
	return true;
}
