# What owners do with tables: constraints, triggers, policies, indexes, columns, rights, publications, schemas. What makes
# rows wait is undone when the faults stop; before that each row that waits must say so.
package MyFatoorah::World::Schema;

use strict;
use warnings;

my @tables = qw(mf_invoice mf_invoice mf_invoice mf_queue mf_attempt mf_inquiry mf_transition mf_transaction mf_event mf_account);

# Columns, the type they get, and the one they have; none of them is what a view shows unless said otherwise
my @types = (
	[ sent_at => 'text', 'timestamptz' ], [ sent_at => 'date', 'timestamptz' ], [ sent_at => 'timestamp', 'timestamptz' ], [ sent_at => 'timestamptz(0)', 'timestamptz' ],
	[ invoice_url => 'varchar(20)', 'text' ], [ invoice_url => 'char(200)', 'text' ], [ last_error => 'varchar(20)', 'text' ],
	[ paid_at => 'text', 'timestamptz' ], [ created_by => 'text', 'name' ], [ created_at => 'timestamp', 'timestamptz' ],
	[ payment_status => 'varchar(20)', 'text' ], [ customer_reference => 'varchar(100)', 'text' ], [ source_info => 'varchar(3)', 'text' ],
	[ cancel_requested => 'text', 'boolean' ], [ invoice_status => 'varchar(4)', 'text' ], [ pay_value => 'double precision', 'numeric' ],
	[ base_value => 'numeric(6,1)', 'numeric' ], [ overpaid => 'integer USING overpaid::int', 'boolean' ], [ expiry_date => 'date', 'timestamptz' ],
	[ display_currency_iso => 'char(5)', 'text' ], [ user_defined_field => 'varchar(500)', 'text' ], [ priority => 'integer', 'smallint' ],
	[ invoice_items => 'json', 'jsonb' ], [ send_at => 'timestamp', 'timestamptz' ]);

# Triggers: when, and what the function does; %s is a condition on rows
my @triggers = (
	[ 'BEFORE UPDATE', q{IF %s THEN RAISE EXCEPTION 'a trigger of the world refuses'; END IF; RETURN NEW;} ],
	[ 'BEFORE UPDATE', q{IF %s THEN RETURN NULL; END IF; RETURN NEW;} ],
	[ 'BEFORE UPDATE', q{IF %s THEN PERFORM pg_sleep(0.05); END IF; RETURN NEW;} ],
	[ 'AFTER UPDATE', q{IF %s THEN RAISE EXCEPTION 'a trigger of the world refuses'; END IF; RETURN NULL;} ],
	[ 'AFTER UPDATE', q{IF %s THEN PERFORM pg_sleep(0.05); END IF; RETURN NULL;} ],
	[ 'AFTER UPDATE', q{INSERT INTO public.log_of_world VALUES (clock_timestamp(), TG_TABLE_NAME); RETURN NULL;} ],
	[ 'AFTER UPDATE', q{IF %s THEN EXECUTE 'ALTER TABLE public.log_of_world ADD IF NOT EXISTS c' || txid_current() %% 5 || ' int'; END IF; RETURN NULL;} ],
	[ 'AFTER INSERT', q{IF %s THEN EXECUTE 'COMMENT ON TABLE public.rent IS ' || quote_literal(clock_timestamp()); END IF; RETURN NULL;} ],
	[ 'AFTER INSERT OR UPDATE', q{PERFORM count(*) FROM public.log_of_world a JOIN public.log_of_world b USING (at); RETURN NULL;} ],
	[ 'AFTER UPDATE', q{PERFORM set_config('search_path', 'nowhere', false), set_config('session_replication_role', 'replica', true); RETURN NULL;} ],
	[ 'AFTER UPDATE', q{PERFORM set_config('statement_timeout', '1ms', false); RETURN NULL;} ],
	[ 'BEFORE INSERT', q{IF %s THEN RETURN NULL; END IF; RETURN NEW;} ],
	[ 'BEFORE DELETE', q{IF %s THEN RETURN NULL; END IF; RETURN OLD;} ],
	[ 'AFTER DELETE', q{IF %s THEN RAISE EXCEPTION 'a trigger of the world refuses'; END IF; RETURN NULL;} ]);

# The column that tells rows apart, and a part of them
sub _part
{
	my ($table, $n, $rest) = @_;
	my $column = $table =~ /^mf_(?:invoice|event)$/ ? 'id' : $table eq 'mf_account' ? 'length(account)' : 'invoice';

	return ("$column % $n = $rest", $column eq 'length(account)' ? "length(%s.account) % $n = $rest" : "%s.$column % $n = $rest");
}

sub _draw_part
{
	my ($pick) = @_;
	my $n = 2 + $pick->(9);

	return ($tables[ $pick->(scalar @tables) ], $n, $pick->($n));
}

sub moves
{
	return (
		{ name => 'check not valid', weight => 3, draw => sub { ($_[0]->(5), _draw_part($_[0])) }, play => sub {
			my ($db, $kind, $table, $n, $rest) = @_;
			my ($part) = _part($table, $n, $rest);
			my $check = $table ne 'mf_invoice' ? "NOT ($part)" :
			  ("NOT ($part)", "status <> 'sending' OR NOT ($part)", "status <> 'sent' OR NOT ($part)", "invoice_id IS NULL OR NOT ($part)",
				"last_error IS NULL OR NOT ($part)")[$kind];

			return unless $db->ok("ALTER TABLE $table ADD CONSTRAINT check_of_world CHECK ($check) NOT VALID");
			$db->broken("check $table", sub { $db->insist("ALTER TABLE $table DROP CONSTRAINT IF EXISTS check_of_world") });
		} },
		{ name => 'deferred foreign key', weight => 2, draw => sub { $_[0]->(2) }, play => sub {
			my ($db, $column) = @_;

			# ids that the API gives out are not in that table
			return unless $db->ok('ALTER TABLE mf_invoice ADD CONSTRAINT key_of_world FOREIGN KEY (' . (qw(invoice_id priority))[$column]
				. ') REFERENCES numbers_of_world (n) DEFERRABLE INITIALLY DEFERRED NOT VALID');
			$db->broken('foreign key', 'ALTER TABLE mf_invoice DROP CONSTRAINT IF EXISTS key_of_world');
		} },
		{ name => 'trigger', weight => 8, draw => sub { ($_[0]->(scalar @triggers), _draw_part($_[0])) }, play => sub {
			my ($db, $kind, $table, $n, $rest) = @_;
			my ($when, $body) = @{ $triggers[$kind] };
			my (undef, $part) = _part($table, $n, $rest);
			my $condition = sprintf $part =~ s/% /%% /r, $when =~ /DELETE/ ? 'OLD' : 'NEW';
			my $name = "trigger_of_world_$kind";

			$body =~ s/%s/$condition/;
			$body =~ s/%%/%/g;
			return unless $db->ok("CREATE OR REPLACE FUNCTION public.${name}_$table() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$BEGIN $body END\$\$;
				CREATE TRIGGER $name $when ON $table FOR EACH ROW EXECUTE FUNCTION public.${name}_$table()");
			$db->state->{spoilt} = 1 if $body =~ /set_config/;
			$db->state->{returns_null} = 1 if $body =~ /RETURN NULL/ && $when =~ /BEFORE/;
			$db->broken("$name $table", "DROP TRIGGER IF EXISTS $name ON $table");
		} },
		{ name => 'constraint trigger', weight => 3, draw => sub { ($_[0]->(2), _draw_part($_[0])) }, play => sub {
			my ($db, $deferred, $table, $n, $rest) = @_;
			my (undef, $part) = _part($table, $n, $rest);
			my $condition = sprintf $part =~ s/% /%% /r, 'NEW';

			return unless $db->ok("CREATE OR REPLACE FUNCTION public.constraint_$table() RETURNS trigger LANGUAGE plpgsql AS
				\$\$BEGIN IF $condition THEN RAISE EXCEPTION 'a constraint of the world refuses'; END IF; RETURN NULL; END\$\$;
				CREATE CONSTRAINT TRIGGER constraint_of_world AFTER UPDATE ON $table DEFERRABLE INITIALLY " . ($deferred ? 'DEFERRED' : 'IMMEDIATE')
				. " FOR EACH ROW EXECUTE FUNCTION public.constraint_$table()");
			$db->broken("constraint trigger $table", "DROP TRIGGER IF EXISTS constraint_of_world ON $table");
		} },
		{ name => 'statement trigger', weight => 2, draw => sub { $_[0]->(4) }, play => sub {
			my ($db, $fails) = @_;
			my $body = $fails ? 'RETURN NULL' : q{RAISE EXCEPTION 'a statement trigger of the world refuses'};

			return unless $db->ok("CREATE OR REPLACE FUNCTION public.statement_of_world() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN $body; END\$\$;
				CREATE TRIGGER statement_of_world AFTER UPDATE ON mf_invoice FOR EACH STATEMENT EXECUTE FUNCTION public.statement_of_world()");
			$db->broken('statement trigger', 'DROP TRIGGER IF EXISTS statement_of_world ON mf_invoice');
		} },
		{ name => 'policy', weight => 2, draw => sub { ($_[0]->(2), _draw_part($_[0])) }, play => sub {
			my ($db, $force, $table, $n, $rest) = @_;
			my ($part) = _part($table, $n, $rest);

			return unless $db->ok("ALTER TABLE $table ENABLE ROW LEVEL SECURITY; " . ($force ? "ALTER TABLE $table FORCE ROW LEVEL SECURITY; " : '')
				. "CREATE POLICY policy_of_world ON $table USING ($part)");
			$db->broken("policy $table", "DROP POLICY IF EXISTS policy_of_world ON $table; ALTER TABLE $table NO FORCE ROW LEVEL SECURITY; ALTER TABLE $table DISABLE ROW LEVEL SECURITY");
		} },
		{ name => 'index', weight => 3, draw => sub { ($_[0]->(5), $_[0]->(5)) }, play => sub {
			my ($db, $kind, $rest) = @_;
			my $on = ('(status)', '(customer_name, status)', "((1 / (CASE WHEN status = 'sent' AND id % 5 = $rest THEN 0 ELSE 1 END)))",
				"((1 / (CASE WHEN status = 'sending' AND id % 5 = $rest THEN 0 ELSE 1 END)))", "(id) WHERE status = 'sending'")[$kind];

			return unless $db->ok('CREATE ' . ($kind == 4 ? 'UNIQUE ' : '') . "INDEX index_of_world_$kind ON mf_invoice $on");
			$db->broken("index $kind", "DROP INDEX IF EXISTS index_of_world_$kind");
		} },
		{ name => 'unique index', weight => 1, play => sub {
			my ($db) = @_;

			# two rows cannot be sent at the same time
			return unless $db->ok("CREATE UNIQUE INDEX unique_of_world ON mf_invoice (status) WHERE status = 'sending'");
			$db->broken('unique index', 'DROP INDEX IF EXISTS unique_of_world');
		} },
		{ name => 'column type', weight => 6, draw => sub { $_[0]->(scalar @types) }, play => sub {
			my ($db, $number) = @_;
			my ($column, $type, $old) = @{ $types[$number] };

			$type .= " USING $column\::$type" unless $type =~ /USING/;
			return unless $db->ok("ALTER TABLE mf_invoice ALTER COLUMN $column TYPE $type");
			$db->broken("type of $column", sub {
				$db->insist("ALTER TABLE mf_invoice ALTER COLUMN $column DROP DEFAULT, ALTER COLUMN $column TYPE $old USING $column\::text::$old");
				$db->insist("ALTER TABLE mf_invoice ALTER COLUMN $column SET DEFAULT " . ($column eq 'send_at' || $column eq 'created_at' ? 'now()' : $column eq 'priority' ? '0' : 'false'))
				  if $column =~ /^(?:send_at|created_at|priority|cancel_requested|overpaid)$/;
				$db->insist("ALTER TABLE mf_invoice ALTER COLUMN $column SET DEFAULT 'unpaid'") if $column eq 'payment_status';
				$db->insist("ALTER TABLE mf_invoice ALTER COLUMN $column SET DEFAULT CURRENT_USER") if $column eq 'created_by';
			});
		} },
		{ name => 'type of a column of ours', weight => 1, draw => sub { $_[0]->(4) }, play => sub {
			my ($db, $number) = @_;
			my ($table, $column, $type, $old) = @{ ([ mf_queue => lookups => 'integer', 'smallint' ], [ mf_attempt => http_status => 'text', 'integer' ],
				[ mf_attempt => error => 'varchar(10)', 'text' ], [ mf_attempt => invoice_url => 'varchar(2000)', 'text' ])[$number] };

			return unless $db->ok("ALTER TABLE $table ALTER COLUMN $column TYPE $type USING $column\::" . ($type =~ s/\(.*//r));
			$db->broken("type of $table.$column", "ALTER TABLE $table ALTER COLUMN $column TYPE $old USING $column\::$old");
		} },
		{ name => 'own column', weight => 3, draw => sub { ($_[0]->(4), $_[0]->(4)) }, play => sub {
			my ($db, $n, $kind) = @_;
			my $table = (qw(mf_invoice mf_invoice mf_queue mf_attempt))[$kind];

			$db->sql($n % 2 ? "ALTER TABLE $table ADD COLUMN IF NOT EXISTS own_$n int DEFAULT $n NOT NULL" : "ALTER TABLE $table DROP COLUMN IF EXISTS own_" . ($n + 1));
		} },
		{ name => 'column renamed', weight => 1, draw => sub { (qw(source_info language invoice_url last_error))[ $_[0]->(4) ] }, play => sub {
			my ($db, $column) = @_;

			return unless $db->ok("ALTER TABLE mf_invoice RENAME COLUMN $column TO renamed_$column");
			$db->broken("column $column", "ALTER TABLE mf_invoice RENAME COLUMN renamed_$column TO $column");
		} },
		{ name => 'triggers off', weight => 1, draw => sub { $_[0]->(3) }, play => sub {
			my ($db, $kind) = @_;
			my $trigger = (qw(mf_invoice_enqueue_insert mf_invoice_enqueue_update USER))[$kind];

			return unless $db->ok("ALTER TABLE mf_invoice DISABLE TRIGGER $trigger");
			$db->state->{agenda_lost} = 1;
			$db->broken("trigger $trigger", "ALTER TABLE mf_invoice ENABLE TRIGGER $trigger");
		} },
		{ name => 'triggers always', weight => 1, play => sub {
			$_[0]->sql('ALTER TABLE mf_invoice ENABLE ALWAYS TRIGGER zz_mf_invoice_guard; ALTER TABLE mf_invoice ENABLE ALWAYS TRIGGER mf_invoice_enqueue_insert');
		} },
		{ name => 'owner', weight => 1, draw => sub { $tables[ $_[0]->(scalar @tables) ] }, play => sub {
			my ($db, $table) = @_;

			return unless $db->ok("ALTER TABLE $table OWNER TO " . $db->role('operator'));
			$db->broken("owner of $table", "ALTER TABLE $table OWNER TO CURRENT_USER");
		} },
		{ name => 'publication', weight => 3, draw => sub { $_[0]->(3) }, play => sub {
			my ($db, $kind) = @_;
			my $for = ('FOR ALL TABLES', 'FOR TABLE mf_invoice, mf_queue', "FOR ALL TABLES WITH (publish = 'insert')")[$kind];

			return unless $db->ok("CREATE PUBLICATION publication_of_world $for");
			$db->broken('publication', 'DROP PUBLICATION IF EXISTS publication_of_world');
		} },
		{ name => 'replica identity', weight => 2, draw => sub { ($tables[ $_[0]->(scalar @tables) ], (qw(NOTHING FULL DEFAULT))[ $_[0]->(3) ]) }, play => sub {
			my ($db, $table, $identity) = @_;

			return unless $db->ok("ALTER TABLE $table REPLICA IDENTITY $identity");
			$db->broken("identity $table", "ALTER TABLE $table REPLICA IDENTITY DEFAULT");
		} },
		{ name => 'schema renamed', weight => 3, draw => sub { (qw(books books_a books_b))[ $_[0]->(3) ] }, play => sub {
			my ($db, $name) = @_;
			my $old = $db->value(q{SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'myfatoorah'});

			$db->sql("ALTER SCHEMA $old RENAME TO $name") if defined $old && $old ne 'public' && $old ne $name;
		} });
}

1;
