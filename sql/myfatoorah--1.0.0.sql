/* myfatoorah--1.0.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION myfatoorah" to load this file. \quit

--
-- Roles
--
-- Roles belong to the whole cluster, so another database may have created them
-- already.  A role that can do more was not created by myfatoorah.
--
DO LANGUAGE plpgsql $do$
DECLARE
	wanted record;
	existing record;
BEGIN
	FOR wanted IN
		SELECT * FROM (VALUES
			('myfatoorah_worker', 'without privileges on tables; what the extension changes in its tables runs as this role'),
			('myfatoorah_submit', 'may insert invoices, change those of its own roles, read all of them that no policy hides, and call MyFatoorah'),
			('myfatoorah_read', 'may read invoices and everything recorded about them'),
			('myfatoorah_refund', 'may refund, capture and release what its own roles have invoiced'),
			('myfatoorah_operate', 'may read, change, cancel, retry, resolve, replace, refund, capture and release the invoices of all roles, and pause, resume and repair'),
			('myfatoorah_inbound', 'may store webhooks and callbacks, and nothing else')
		) AS v(name, purpose)
	LOOP
		SELECT r.rolcanlogin, r.rolsuper, r.rolbypassrls INTO existing
		FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) wanted.name;
		IF NOT FOUND THEN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted.name);
			EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', wanted.name, 'myfatoorah: ' || wanted.purpose);
		ELSIF existing.rolcanlogin OR existing.rolsuper OR existing.rolbypassrls THEN
			RAISE EXCEPTION 'role "%" exists and is not the one that myfatoorah needs', wanted.name
				USING ERRCODE = 'duplicate_object',
				DETAIL = 'It can log in, is a superuser, or has BYPASSRLS.',
				HINT = pg_catalog.format('Rename it, or run: ALTER ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', wanted.name);
		END IF;
	END LOOP;
END
$do$;

--
-- Accounts: foreign servers of this wrapper
--
CREATE FUNCTION mf_account_validator(options text[], catalog oid)
RETURNS void
LANGUAGE C STRICT STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_account_validator(text[], oid) IS 'checks the options of servers and user mappings of the wrapper myfatoorah';

CREATE FOREIGN DATA WRAPPER myfatoorah VALIDATOR mf_account_validator;
COMMENT ON FOREIGN DATA WRAPPER myfatoorah IS 'each server of this wrapper is one MyFatoorah account';

CREATE FUNCTION mf_account_facts(account text DEFAULT 'myfatoorah', OUT currency text, OUT time_zone text)
RETURNS record
LANGUAGE C STRICT STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_account_facts(text) IS 'an account''s own currency, ISO 4217, and its time zone, from its country and options';

CREATE FUNCTION mf_shares_numbers(account text, taken_over_from text, other text)
RETURNS boolean
LANGUAGE C STABLE PARALLEL UNSAFE COST 1000
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_shares_numbers(text, text, text) IS 'whether a number of MyFatoorah''s means the same in both accounts: their addresses are the same, or one is gone or cannot be used; the address of an invoice that was taken over is where it was found';

CREATE FUNCTION mf_shares_webhooks(account text, other text)
RETURNS boolean
LANGUAGE C STRICT STABLE PARALLEL UNSAFE COST 1000
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_shares_webhooks(text, text) IS 'whether a user mapping of both accounts has the same webhook secret, so that webhooks of one may be about invoices of the other';

--
-- Invoices
--
-- The order of the columns is known to src/store/invoice.h.
--
CREATE TABLE mf_invoice (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY WITH (fillfactor = 50),
	account text NOT NULL DEFAULT 'myfatoorah',
	customer_name text NOT NULL,
	invoice_value numeric NOT NULL,
	notification_option text NOT NULL DEFAULT 'LNK',
	customer_email text,
	customer_mobile text,
	mobile_country_code text,
	display_currency_iso text,
	language text,
	customer_reference text,
	customer_civil_id text,
	user_defined_field text,
	call_back_url text,
	error_url text,
	webhook_url text,
	expiry_date timestamptz,
	customer_address jsonb,
	invoice_items jsonb,
	shipping_method smallint,
	shipping_consignee jsonb,
	suppliers jsonb,
	processing_details jsonb,
	invoice_payment_methods integer[],
	source_info text,
	payment_method_id integer,
	recurring_type text,
	interval_days integer,
	iteration integer,
	retry_count integer,
	send_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	priority smallint NOT NULL DEFAULT 0,
	idempotency_key text COLLATE "C",
	callbacks boolean,
	reference text COLLATE "C" NOT NULL,
	status text COLLATE "C" NOT NULL DEFAULT 'queued'
		CHECK (status IN ('queued', 'sending', 'sent', 'rejected', 'unknown', 'review', 'cancelled')),
	payment_status text COLLATE "C" NOT NULL DEFAULT 'unpaid'
		CHECK (payment_status IN ('unpaid', 'authorized', 'paid', 'expired', 'remote_cancelled',
								  'partly_refunded', 'refunded', 'disputed')),
	invoice_id bigint,
	invoice_url text,
	sent_at timestamptz,
	paid_at timestamptz,
	last_error text,
	attempts integer NOT NULL DEFAULT 0,
	cancel_requested boolean NOT NULL DEFAULT false,
	duplicate_suspected boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	created_by name COLLATE "C" NOT NULL DEFAULT CURRENT_USER,
	invoice_status text COLLATE "C",
	payment_error text,
	duplicate_error text,
	payment_id text COLLATE "C",
	base_currency text COLLATE "C",
	base_value numeric,
	display_currency text COLLATE "C",
	display_value numeric,
	pay_currency text COLLATE "C",
	pay_value numeric,
	refunded_value numeric NOT NULL DEFAULT 0,
	overpaid boolean NOT NULL DEFAULT false,
	paid_late boolean NOT NULL DEFAULT false,
	created_by_id oid NOT NULL DEFAULT 0,
	own_key boolean NOT NULL DEFAULT false,
	could_login boolean NOT NULL DEFAULT false,
	could_insert boolean NOT NULL DEFAULT false,
	currency text COLLATE "C",
	received_value numeric NOT NULL DEFAULT 0,
	net_value numeric NOT NULL DEFAULT 0,
	disputed_at timestamptz,
	expires_at timestamptz,
	payment_doubt text,
	erased_at timestamptz,
	replaced_by bigint,
	recurring_id text COLLATE "C",
	taken_over_from text COLLATE "C",
	metadata jsonb
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- Half of each page is left empty: each row is updated twice soon after its
-- insertion, and both updates are HOT.  Hence no index has a column that sending
-- changes, as a key or in its condition: status, invoice_id, invoice_url, sent_at,
-- last_error, attempts.  Indexes are half empty for the entries that a row gets
-- when it is paid.
--
-- Unique, but partial: a column of a plain unique index counts as a key, and the
-- worker, which may write it, would then wait for everybody who holds a row by a
-- foreign key.
CREATE UNIQUE INDEX mf_invoice_reference_idx ON mf_invoice (reference) WITH (fillfactor = 50) WHERE reference IS NOT NULL;

-- Not partial, so that a plain ON CONFLICT (account, idempotency_key) finds it. The worker writes neither column. The key
-- comes first, for it is looked up by itself; the account has a collation here that no upgrade of the system changes.
CREATE UNIQUE INDEX mf_invoice_idempotency_key_idx ON mf_invoice (idempotency_key, account COLLATE "C") WITH (fillfactor = 50);

-- What can still be paid, and what was not sent; what may exist twice; what a person has to compare.
CREATE INDEX mf_invoice_unpaid_idx ON mf_invoice (account COLLATE "C", id) WHERE payment_status IN ('unpaid', 'authorized');
CREATE INDEX mf_invoice_held_idx ON mf_invoice (account COLLATE "C", id) WHERE payment_status = 'authorized';
CREATE INDEX mf_invoice_suspected_idx ON mf_invoice (id) WHERE duplicate_suspected;
CREATE INDEX mf_invoice_doubted_idx ON mf_invoice (account, id) WHERE payment_doubt IS NOT NULL;

-- What reports ask for. Rows lie in the order of their insertion, so that a summary of each range of pages finds a month.
-- An invoice enters the index of payments, and that of what is to be erased one day, when it is paid. That of references is the only one that sending pays for.
CREATE INDEX mf_invoice_created_at_idx ON mf_invoice USING brin (created_at);
CREATE INDEX mf_invoice_paid_at_idx ON mf_invoice (paid_at) WHERE paid_at IS NOT NULL;
CREATE INDEX mf_invoice_personal_idx ON mf_invoice (created_at) WHERE erased_at IS NULL AND payment_status NOT IN ('unpaid', 'authorized');
CREATE INDEX mf_invoice_replaced_by_idx ON mf_invoice (replaced_by) WHERE replaced_by IS NOT NULL;
CREATE INDEX mf_invoice_recurring_id_idx ON mf_invoice (recurring_id) WHERE recurring_id IS NOT NULL;
CREATE INDEX mf_invoice_customer_reference_idx ON mf_invoice (customer_reference) WITH (fillfactor = 50) WHERE customer_reference IS NOT NULL;

COMMENT ON TABLE mf_invoice IS 'insert a row, and it becomes a MyFatoorah invoice once the transaction commits';
COMMENT ON COLUMN mf_invoice.id IS 'our number of the invoice';
COMMENT ON COLUMN mf_invoice.account IS 'the foreign server of the wrapper myfatoorah that sends it';
COMMENT ON COLUMN mf_invoice.customer_name IS 'CustomerName, shown at checkout';
COMMENT ON COLUMN mf_invoice.invoice_value IS 'InvoiceValue, above 0, at most three decimals';
COMMENT ON COLUMN mf_invoice.notification_option IS 'NotificationOption: LNK link only, EML e-mail, SMS text message, ALL all three';
COMMENT ON COLUMN mf_invoice.customer_email IS 'CustomerEmail, needed for EML and ALL';
COMMENT ON COLUMN mf_invoice.customer_mobile IS 'CustomerMobile, national number, needed for SMS and ALL';
COMMENT ON COLUMN mf_invoice.mobile_country_code IS 'MobileCountryCode; for SMS and ALL the account''s country code is filled in';
COMMENT ON COLUMN mf_invoice.display_currency_iso IS 'DisplayCurrencyIso; the account''s own currency if null';
COMMENT ON COLUMN mf_invoice.language IS 'Language: EN or AR';
COMMENT ON COLUMN mf_invoice.customer_reference IS 'your own reference, need not be unique; the reference sent begins with it';
COMMENT ON COLUMN mf_invoice.customer_civil_id IS 'CustomerCivilId';
COMMENT ON COLUMN mf_invoice.user_defined_field IS 'UserDefinedField, at most 500 characters';
COMMENT ON COLUMN mf_invoice.call_back_url IS 'CallBackUrl, where the customer goes after success';
COMMENT ON COLUMN mf_invoice.error_url IS 'ErrorUrl, where the customer goes after failure';
COMMENT ON COLUMN mf_invoice.webhook_url IS 'WebhookUrl, where MyFatoorah posts events of this invoice';
COMMENT ON COLUMN mf_invoice.expiry_date IS 'ExpiryDate; sent as wall clock of the account''s time zone';
COMMENT ON COLUMN mf_invoice.customer_address IS 'CustomerAddress, an object with MyFatoorah''s member names';
COMMENT ON COLUMN mf_invoice.invoice_items IS 'InvoiceItems, an array of objects with MyFatoorah''s member names; must add up to invoice_value';
COMMENT ON COLUMN mf_invoice.shipping_method IS 'ShippingMethod: 1 DHL, 2 Aramex';
COMMENT ON COLUMN mf_invoice.shipping_consignee IS 'ShippingConsignee, needed with shipping_method';
COMMENT ON COLUMN mf_invoice.suppliers IS 'Suppliers, an array of objects with MyFatoorah''s member names';
COMMENT ON COLUMN mf_invoice.processing_details IS 'ProcessingDetails: {"AutoCapture": false} to authorise first';
COMMENT ON COLUMN mf_invoice.invoice_payment_methods IS 'InvoicePaymentMethods, ids of the payment methods to offer';
COMMENT ON COLUMN mf_invoice.source_info IS 'SourceInfo';
COMMENT ON COLUMN mf_invoice.payment_method_id IS 'PaymentMethodId: the link leads to the page of this one method, by ExecutePayment; null: to all methods, by SendPayment';
COMMENT ON COLUMN mf_invoice.recurring_type IS 'RecurringType: its payment begins a recurring one of MyFatoorah: Custom, Daily, Weekly or Monthly';
COMMENT ON COLUMN mf_invoice.interval_days IS 'IntervalDays of a Custom one, 1 to 180';
COMMENT ON COLUMN mf_invoice.iteration IS 'Iteration: how often MyFatoorah charges the card again; 0: until the plan is cancelled';
COMMENT ON COLUMN mf_invoice.retry_count IS 'RetryCount: on how many days a charge that failed is tried again, 0 to 5';
COMMENT ON COLUMN mf_invoice.send_at IS 'not sent before this time';
COMMENT ON COLUMN mf_invoice.priority IS '0 to 100; each point puts a due invoice ten minutes ahead of others';
COMMENT ON COLUMN mf_invoice.idempotency_key IS 'your own key, unique within the account: a second INSERT with it makes no second invoice';
COMMENT ON COLUMN mf_invoice.callbacks IS 'whether the customer returns to the listener''s page if call_back_url and error_url are not given; null: as the account''s option callbacks says';
COMMENT ON COLUMN mf_invoice.reference IS 'result: the unique CustomerReference that is sent';
COMMENT ON COLUMN mf_invoice.status IS 'result: queued, sending, sent, rejected, unknown, review or cancelled';
COMMENT ON COLUMN mf_invoice.payment_status IS 'result: unpaid, authorized, paid, expired, remote_cancelled, partly_refunded, refunded or disputed';
COMMENT ON COLUMN mf_invoice.invoice_id IS 'result: MyFatoorah''s InvoiceId';
COMMENT ON COLUMN mf_invoice.invoice_url IS 'result: MyFatoorah''s InvoiceURL, the link to pay';
COMMENT ON COLUMN mf_invoice.sent_at IS 'result: when MyFatoorah accepted it';
COMMENT ON COLUMN mf_invoice.paid_at IS 'result: when it was paid: TransactionDate of the successful transaction';
COMMENT ON COLUMN mf_invoice.last_error IS 'result: why it could not be sent, or what is wrong with its link; null if nothing is';
COMMENT ON COLUMN mf_invoice.attempts IS 'result: number of the latest attempt to send';
COMMENT ON COLUMN mf_invoice.cancel_requested IS 'result: mf_cancel() was called while the invoice might already exist: it is not sent again; in a sent row, the call came too late; so does mf_replace()';
COMMENT ON COLUMN mf_invoice.duplicate_suspected IS 'result: MyFatoorah may have more than one invoice for this row; see mf_review';
COMMENT ON COLUMN mf_invoice.created_at IS 'result: when the row was inserted; a value in the INSERT is ignored';
COMMENT ON COLUMN mf_invoice.created_by IS 'result: name, at that time, of the role that inserted the row or last changed its account; mf_repair() writes its present one';
COMMENT ON COLUMN mf_invoice.invoice_status IS 'result: InvoiceStatus as last read from MyFatoorah';
COMMENT ON COLUMN mf_invoice.payment_error IS 'result: what is wrong with the latest answer about the payment; null after a valid answer';
COMMENT ON COLUMN mf_invoice.duplicate_error IS 'result: why duplicate_suspected is set';
COMMENT ON COLUMN mf_invoice.payment_id IS 'result: PaymentId of the successful transaction';
COMMENT ON COLUMN mf_invoice.base_currency IS 'result: currency of the account, ISO 4217';
COMMENT ON COLUMN mf_invoice.base_value IS 'result: InvoiceValue in the currency of the account, as last read; a partial capture lowers it';
COMMENT ON COLUMN mf_invoice.display_currency IS 'result: currency of the invoice, ISO 4217';
COMMENT ON COLUMN mf_invoice.display_value IS 'result: InvoiceDisplayValue, in the currency of the invoice';
COMMENT ON COLUMN mf_invoice.pay_currency IS 'result: currency that the customer paid in, ISO 4217';
COMMENT ON COLUMN mf_invoice.pay_value IS 'result: what the customer paid, in that currency; MyFatoorah rounds it up to hundredths';
COMMENT ON COLUMN mf_invoice.refunded_value IS 'result: sum of completed refunds and lost disputes, in the currency of the account';
COMMENT ON COLUMN mf_invoice.overpaid IS 'result: more than one transaction succeeded; see mf_transaction';
COMMENT ON COLUMN mf_invoice.paid_late IS 'result: it was paid after payment_status had become expired or remote_cancelled';
COMMENT ON COLUMN mf_invoice.created_by_id IS 'result: OID of that role: its members may change the row, and its user mapping is used; 0 if a restored row names a role that does not exist';
COMMENT ON COLUMN mf_invoice.own_key IS 'result: that role had a user mapping of its own for the account; the mapping of PUBLIC is not used in its place';
COMMENT ON COLUMN mf_invoice.could_login IS 'result: that role could log in; if it cannot when the invoice is due, the invoice waits';
COMMENT ON COLUMN mf_invoice.could_insert IS 'result: that role could insert into mf_invoice; if it cannot when the invoice is due, the invoice waits';
COMMENT ON COLUMN mf_invoice.currency IS 'result: currency of invoice_value, ISO 4217: display_currency_iso, or the account''s own';
COMMENT ON COLUMN mf_invoice.received_value IS 'result: sum of the payments, in the currency of the account; see mf_ledger';
COMMENT ON COLUMN mf_invoice.net_value IS 'result: received_value minus refunded_value, in the currency of the account';
COMMENT ON COLUMN mf_invoice.disputed_at IS 'result: when MyFatoorah last reported a dispute that is open or lost; null if there is none; see mf_dispute';
COMMENT ON COLUMN mf_invoice.expires_at IS 'result: the invoice cannot be paid after this time, as last reported by MyFatoorah';
COMMENT ON COLUMN mf_invoice.erased_at IS 'result: when the customer''s name, address and numbers were erased, by age or by mf_forget(); null if they were not';
COMMENT ON COLUMN mf_invoice.replaced_by IS 'result: id of the invoice that is to be paid in place of this one, by mf_replace(); a payment of this one is still recorded';
COMMENT ON COLUMN mf_invoice.recurring_id IS 'result: RecurringId of the plan that its payment begins (recurring_type), or of which it is a repetition (no recurring_type); mf_recurring() asks for its state';
COMMENT ON COLUMN mf_invoice.taken_over_from IS 'result: of an invoice that no attempt of this row has made, but mf_adopt() or a repetition has brought, the address of MyFatoorah at which it was found: its number means this invoice there only';
COMMENT ON COLUMN mf_invoice.metadata IS 'your own data; may change at any time, is not sent, and is not in the history';
COMMENT ON COLUMN mf_invoice.payment_doubt IS 'result: how the paid invoice differs from this row, until a person has decided; see mf_review';

--
-- What has which InvoiceId: a table of its own, by the key of which an invoice
-- is found.  A row counts if the invoice that it names has that number still.
--
CREATE TABLE mf_invoice_number (
	invoice_id bigint NOT NULL,
	invoice bigint NOT NULL,
	PRIMARY KEY (invoice_id, invoice)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

COMMENT ON TABLE mf_invoice_number IS 'which InvoiceId which row of mf_invoice has; mf_number shows it';

--
-- The worker's agenda.  An unfinished invoice has one entry, which is deleted
-- when nothing is left to do.
--
CREATE FUNCTION mf_here()
RETURNS bigint
LANGUAGE C STRICT STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_here() IS 'identifies the tables of the extension in this database on this server; a copy has another number, and so have they after DROP EXTENSION and CREATE EXTENSION';

CREATE FUNCTION mf_origin()
RETURNS bigint
LANGUAGE C STRICT STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_origin() IS 'identifies this database in this data directory since the latest promotion; a server that was copied from it, or that it was promoted from, has another number';

CREATE TABLE mf_queue (
	invoice bigint PRIMARY KEY,
	account text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL CHECK (kind IN ('send', 'sending', 'reconcile', 'verify', 'watch', 'replay', 'review')),
	due timestamptz NOT NULL,
	rank timestamptz NOT NULL,
	priority smallint NOT NULL,
	lookups smallint NOT NULL DEFAULT 0,
	origin bigint NOT NULL DEFAULT mf_origin(),
	error text,
	promote boolean NOT NULL DEFAULT false
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
		autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.1);

CREATE INDEX mf_queue_rank_idx ON mf_queue (account, rank, invoice);
CREATE INDEX mf_queue_error_idx ON mf_queue (account) WHERE error IS NOT NULL;
CREATE INDEX mf_queue_promote_idx ON mf_queue (account, rank) WHERE promote;

COMMENT ON TABLE mf_queue IS 'the worker''s agenda: one entry per unfinished invoice';
COMMENT ON COLUMN mf_queue.kind IS 'send; sending: leased until due; reconcile: look up an unknown outcome; verify: look up before sending; watch: look up references that were given up; replay: repeat the request of an invoice that was found, to get its link; review: a person decides, the worker does nothing';
COMMENT ON COLUMN mf_queue.due IS 'nothing is done before this time; of kind sending, the end of the lease';
COMMENT ON COLUMN mf_queue.rank IS 'order among due entries: the later of due and the insertion, minus ten minutes per point of priority once due';
COMMENT ON COLUMN mf_queue.lookups IS 'look-ups so far that found nothing, plus 100 for each whose answer made no sense; of kind send: how often the key was missing, or -1 while it waits for the hours in which MyFatoorah may notify the customer, or -2 while MyFatoorah is asked about what the invoice replaces';
COMMENT ON COLUMN mf_queue.origin IS 'mf_origin() of the database that made this entry; no other database acts on it';
COMMENT ON COLUMN mf_queue.promote IS 'rank does not take account of priority yet, because the entry is not due';
COMMENT ON COLUMN mf_queue.error IS 'why the last change of the invoice could not be written; it is tried again when due; see mf_review';

--
-- Every attempt to send, recorded before the first byte leaves
--
CREATE TABLE mf_attempt (
	invoice bigint NOT NULL,
	attempt integer NOT NULL,
	reference text COLLATE "C" NOT NULL,
	body_sha256 bytea NOT NULL,
	started_at timestamptz NOT NULL,
	send_by timestamptz NOT NULL,
	finished_at timestamptz,
	outcome text COLLATE "C"
		CHECK (outcome IN ('accepted', 'rejected', 'not_sent', 'throttled', 'account_problem', 'unknown')),
	http_status integer,
	invoice_id bigint,
	invoice_url text,
	error text,
	changed_to_sent boolean NOT NULL DEFAULT false,
	answered_reference text COLLATE "C",
	sent_to integer,
	api text COLLATE "C" CHECK (api = 'v3'),
	boot bigint,
	boot_clock bigint,
	repeats integer,
	found_at timestamptz,
	recurring_id text COLLATE "C",
	PRIMARY KEY (invoice, attempt)
) WITH (fillfactor = 36, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE INDEX mf_attempt_started_at_idx ON mf_attempt USING brin (started_at);

COMMENT ON TABLE mf_attempt IS 'every attempt to send an invoice, recorded before the request leaves';
COMMENT ON COLUMN mf_attempt.reference IS 'the CustomerReference of this attempt';
COMMENT ON COLUMN mf_attempt.body_sha256 IS 'SHA-256 of the request body';
COMMENT ON COLUMN mf_attempt.send_by IS 'the request does not leave after this time';
COMMENT ON COLUMN mf_attempt.outcome IS 'what is certain: accepted, rejected, not_sent, throttled, account_problem or unknown; null while the request is in flight';
COMMENT ON COLUMN mf_attempt.http_status IS 'HTTP status of the answer; null: none came, or one that reports success broke off';
COMMENT ON COLUMN mf_attempt.invoice_id IS 'the InvoiceId in the answer, whatever the outcome, even if the answer came too late for the invoice';
COMMENT ON COLUMN mf_attempt.invoice_url IS 'the InvoiceURL or PaymentURL in the answer, likewise';
COMMENT ON COLUMN mf_attempt.answered_reference IS 'the CustomerReference in the answer, if it differs';
COMMENT ON COLUMN mf_attempt.sent_to IS 'checksum of the address and key of the request, which shows whether a look-up goes to the same place; too short to find the key';
COMMENT ON COLUMN mf_attempt.api IS 'v3: by POST /v3/payments, with the reference as ExternalIdentifier and Idempotency-Key; null: by SendPayment, or by ExecutePayment if the row has payment_method_id';
COMMENT ON COLUMN mf_attempt.boot IS 'of api v3: identifies the start of the machine on which the attempt began';
COMMENT ON COLUMN mf_attempt.boot_clock IS 'of api v3: microseconds from that start to that of the attempt; beside started_at, a moved clock is noticed';
COMMENT ON COLUMN mf_attempt.repeats IS 'the attempt whose request this one repeats word for word under the same Idempotency-Key, to get the link of an invoice that was found';
COMMENT ON COLUMN mf_attempt.found_at IS 'when a look-up has found the invoice, with invoice_id, before the request was repeated';
COMMENT ON COLUMN mf_attempt.recurring_id IS 'RecurringId in the answer of ExecutePayment';
COMMENT ON COLUMN mf_attempt.changed_to_sent IS 'the answer to this attempt changed the invoice to sent: mf_history takes that change from here, any other from mf_transition';

--
-- What a probe, or a repeated request, has shown of POST /v3/payments
--
CREATE TABLE mf_api_proof (
	account text COLLATE "C" NOT NULL,
	sent_to integer NOT NULL,
	country text COLLATE "C" NOT NULL,
	given boolean NOT NULL,
	at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	detail text NOT NULL,
	PRIMARY KEY (account, sent_to)
);

COMMENT ON TABLE mf_api_proof IS 'what is known of POST /v3/payments at an address, with a key: mf_probe_idempotency() writes it, and a repeated request that has made another invoice. Not dumped: a copy has to prove it again';
COMMENT ON COLUMN mf_api_proof.sent_to IS 'checksum of address and key, as in mf_attempt: with another address or key nothing is known';
COMMENT ON COLUMN mf_api_proof.country IS 'option country of the server then; in another one nothing is known';
COMMENT ON COLUMN mf_api_proof.given IS 'the same request with the same Idempotency-Key gives the same invoice, and a look-up finds it; false: seen to be otherwise';

--
-- Transitions, append-only.  The two that every invoice goes through, to sending
-- and to sent, are in mf_attempt instead.
--
CREATE TABLE mf_transition (
	invoice bigint NOT NULL,
	changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	actor text NOT NULL,
	from_status text COLLATE "C" NOT NULL,
	to_status text COLLATE "C" NOT NULL,
	attempt integer NOT NULL,
	reason text,
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	changes jsonb
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE INDEX mf_transition_invoice_idx ON mf_transition (invoice);
CREATE INDEX mf_transition_changed_at_idx ON mf_transition USING brin (changed_at);

COMMENT ON COLUMN mf_transition.id IS 'primary key, which publications need to replicate deletions after myfatoorah.history_retention';
COMMENT ON TABLE mf_transition IS 'changes of status, append-only; mf_history shows them together with those that mf_attempt records';

COMMENT ON COLUMN mf_transition.changes IS 'of an edit by UPDATE: old and new value of each column, without the query part of URLs; cleared when the invoice is deleted';

-- Policies of mf_invoice apply to the tables and views about its rows, too.
CREATE FUNCTION mf_invoice_visible(id bigint)
RETURNS boolean
LANGUAGE C STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_invoice_visible(bigint) IS 'whether row-level security lets the current role see that row of mf_invoice';

CREATE VIEW mf_history WITH (security_barrier) AS
	SELECT h.* FROM (
		SELECT i.id AS invoice, i.created_at AS changed_at, i.created_by::text AS actor,
			   NULL::text AS from_status, 'queued'::text AS to_status, 0 AS attempt, 'inserted'::text AS reason,
			   NULL::jsonb AS changes
		FROM mf_invoice i
		UNION ALL
		SELECT a.invoice, a.started_at, 'sender', CASE WHEN a.repeats IS NULL THEN 'queued' ELSE 'unknown' END, 'sending',
			   a.attempt, CASE WHEN a.repeats IS NULL THEN 'claimed' ELSE 'request repeated for the link' END, NULL
		FROM mf_attempt a
		UNION ALL
		SELECT a.invoice, a.finished_at, 'sender', 'sending', 'sent', a.attempt, 'accepted', NULL
		FROM mf_attempt a WHERE a.changed_to_sent
		UNION ALL
		SELECT t.invoice, t.changed_at, t.actor, t.from_status, t.to_status, t.attempt, t.reason, t.changes
		FROM mf_transition t) h
	WHERE mf_invoice_visible(h.invoice);

COMMENT ON VIEW mf_history IS 'every transition and every edit of every invoice, its insertion included';

--
-- Payments: inquiries, answers, events
--
-- The agenda of inquiries.  An invoice has an entry as long as its
-- payment_status can change.
--
CREATE TABLE mf_inquiry (
	invoice bigint PRIMARY KEY,
	account text COLLATE "C" NOT NULL,
	due timestamptz NOT NULL,
	urgent boolean NOT NULL DEFAULT false,
	refunds boolean NOT NULL DEFAULT false,
	times_requested integer NOT NULL DEFAULT 0,
	unchanged_answers smallint NOT NULL DEFAULT 0,
	answers smallint NOT NULL DEFAULT 0,
	failures smallint NOT NULL DEFAULT 0,
	error text,
	by_callback boolean NOT NULL DEFAULT false,
	ordered_by oid NOT NULL DEFAULT 0
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0,
		autovacuum_analyze_scale_factor = 0.1);

CREATE INDEX mf_inquiry_urgent_idx ON mf_inquiry (account, by_callback, due) WHERE urgent AND ordered_by = 0;
CREATE INDEX mf_inquiry_ordered_idx ON mf_inquiry (account, by_callback, ordered_by, due) WHERE urgent AND ordered_by <> 0;
CREATE INDEX mf_inquiry_ordered_due_idx ON mf_inquiry (account, due) WHERE urgent AND ordered_by <> 0;
CREATE INDEX mf_inquiry_failed_idx ON mf_inquiry (account) WHERE error IS NOT NULL OR failures > 0;
CREATE INDEX mf_inquiry_due_idx ON mf_inquiry (account, due) WHERE NOT urgent;

COMMENT ON TABLE mf_inquiry IS 'invoices whose payment is awaited, and when MyFatoorah is asked next';
COMMENT ON COLUMN mf_inquiry.due IS 'not asked before this time';
COMMENT ON COLUMN mf_inquiry.urgent IS 'an event or a person has asked for it; false: planned, within myfatoorah.poll_rate_limit';
COMMENT ON COLUMN mf_inquiry.refunds IS 'MyFatoorah is also asked for the refunds';
COMMENT ON COLUMN mf_inquiry.times_requested IS 'how often events and people have asked for the payment: an answer to an earlier question does not settle a later one';
COMMENT ON COLUMN mf_inquiry.unchanged_answers IS 'answers since the latest of them that showed no change';
COMMENT ON COLUMN mf_inquiry.answers IS 'answers since payment_status changed last';
COMMENT ON COLUMN mf_inquiry.failures IS 'inquiries in a row without a usable answer; each makes the next delay longer';
COMMENT ON COLUMN mf_inquiry.error IS 'why MyFatoorah could not be asked, or its answer not be written; tried again when due; see mf_review';
COMMENT ON COLUMN mf_inquiry.by_callback IS 'of an urgent one: since the latest inquiry only callbacks, which prove nothing, or roles beyond their quota have asked; within myfatoorah.callback_rate_limit';
COMMENT ON COLUMN mf_inquiry.ordered_by IS 'of an urgent one: OID of the role whose mf_refresh() asked for it; 0 if an event did, which takes precedence';

CREATE TABLE mf_transaction (
	invoice bigint NOT NULL,
	payment_id text COLLATE "C" NOT NULL,
	transaction_status text COLLATE "C",
	transaction_date timestamptz,
	payment_gateway text,
	reference_id text,
	track_id text,
	transaction_id text,
	authorization_id text,
	transaction_value numeric,
	customer_service_charge numeric,
	total_service_charge numeric,
	due_value numeric,
	paid_currency text,
	paid_currency_value numeric,
	vat_amount numeric,
	ip_address text,
	country text,
	currency text,
	error text,
	card_number text,
	error_code text,
	eci text,
	card jsonb,
	first_seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (invoice, payment_id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX mf_transaction_payment_id_idx ON mf_transaction (payment_id);

COMMENT ON TABLE mf_transaction IS 'every transaction of an invoice, as GetPaymentStatus reports it';
COMMENT ON COLUMN mf_transaction.invoice IS 'mf_invoice.id';
COMMENT ON COLUMN mf_transaction.payment_id IS 'PaymentId: digits, with leading zeros';
COMMENT ON COLUMN mf_transaction.transaction_status IS 'as MyFatoorah spells it: InProgress, Succss (sic), Failed, Canceled or Authorize';
COMMENT ON COLUMN mf_transaction.card IS 'masked number, brand, issuer and kind of the card; nothing that identifies it';

--
-- The ledger.  Each change of money is one entry, whose money is never updated.  If
-- a later answer differs, an entry of the difference is added.  The entries of a row
-- that was deleted go to the row that mf_adopt() makes for the same invoice.
--
CREATE TABLE mf_money (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	invoice bigint NOT NULL,
	account text COLLATE "C" NOT NULL,
	customer_reference text,
	booked_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	kind text COLLATE "C" NOT NULL CHECK (kind IN ('payment', 'refund', 'chargeback', 'fee')),
	source text COLLATE "C" NOT NULL,
	amount numeric NOT NULL,
	currency text COLLATE "C" NOT NULL,
	payment_id text COLLATE "C"
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE INDEX mf_money_invoice_idx ON mf_money (invoice, kind, source);
CREATE INDEX mf_money_source_idx ON mf_money (source, kind);
CREATE INDEX mf_money_booked_at_idx ON mf_money USING brin (booked_at);

COMMENT ON TABLE mf_money IS 'entries of the ledger, append-only; mf_ledger shows them';
COMMENT ON COLUMN mf_money.source IS 'PaymentId of a payment or its fee, RefundId of a refund, DisputeTransactionId of a chargeback';

CREATE VIEW mf_ledger WITH (security_barrier) AS
	SELECT m.invoice, m.account, m.customer_reference, m.currency, m.booked_at AS at, m.kind, m.amount, m.payment_id, m.id, m.source
	FROM mf_money m
	WHERE mf_invoice_visible(m.invoice);

COMMENT ON VIEW mf_ledger IS 'one entry per change of money, in the order of id: payments are positive; refunds, chargebacks and fees are negative; all in the currency of the account';
COMMENT ON COLUMN mf_ledger.at IS 'when the entry was written; mf_transaction.transaction_date is when the payment was made';
COMMENT ON COLUMN mf_ledger.kind IS 'payment, refund or chargeback, whose sum is mf_invoice.net_value; fee: what MyFatoorah keeps of a payment, including tax';
COMMENT ON COLUMN mf_ledger.payment_id IS 'PaymentId, where MyFatoorah reports it; null for refunds';
COMMENT ON COLUMN mf_ledger.source IS 'PaymentId of a payment or its fee, RefundId of a refund, DisputeTransactionId of a chargeback';

--
-- Disputes as webhooks report them; MyFatoorah cannot be asked about one
--
CREATE TABLE mf_dispute_state (
	invoice bigint NOT NULL,
	dispute_id text COLLATE "C" NOT NULL,
	payment_id text COLLATE "C",
	type text COLLATE "C",
	status text COLLATE "C" NOT NULL,
	charge_back_type text,
	reason text,
	opened_at timestamptz NOT NULL,
	changed_at timestamptz NOT NULL,
	event bigint NOT NULL,
	PRIMARY KEY (invoice, dispute_id)
);

COMMENT ON TABLE mf_dispute_state IS 'disputes; mf_dispute shows them';
COMMENT ON COLUMN mf_dispute_state.event IS 'mf_event.id of the webhook that reported the present state';

CREATE VIEW mf_dispute WITH (security_barrier) AS
	SELECT d.invoice, i.account, i.customer_reference, d.dispute_id, d.status, d.type, d.reason, d.charge_back_type, d.payment_id,
		   p.currency, p.amount, d.opened_at, d.changed_at
	FROM mf_dispute_state d JOIN mf_invoice i ON i.id = d.invoice
		LEFT JOIN LATERAL (SELECT pg_catalog.min(m.currency) AS currency, pg_catalog.sum(m.amount) AS amount FROM mf_money m
			WHERE m.invoice = d.invoice AND m.kind = 'payment' AND m.source = d.payment_id) p ON true
	WHERE mf_invoice_visible(d.invoice);

COMMENT ON VIEW mf_dispute IS 'disputes reported by signed webhooks, with the payment that each is about';
COMMENT ON COLUMN mf_dispute.status IS 'as MyFatoorah spells it: PENDING, RESOLVED or LOST';
COMMENT ON COLUMN mf_dispute.type IS 'as MyFatoorah spells it: CHARGEBACK, DOCUMENTREQUEST, FRAUDALERT or UNVERIFY; not signed in version 2';
COMMENT ON COLUMN mf_dispute.amount IS 'amount of the disputed payment, in the currency of the account';
COMMENT ON COLUMN mf_dispute.opened_at IS 'when a webhook first reported it';

--
-- Operations on invoices that were paid: refunds, captures, releases.  Each row is
-- on the worker's agenda as long as it has a due time.
--
CREATE TABLE mf_operation (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY WITH (fillfactor = 70),
	invoice bigint NOT NULL,
	account text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL DEFAULT 'refund' CHECK (kind IN ('refund', 'capture', 'release')),
	value numeric,
	payment_id text COLLATE "C",
	charge_on_customer boolean NOT NULL DEFAULT false,
	comment text,
	suppliers jsonb,
	idempotency_key text COLLATE "C",
	reference text COLLATE "C",
	status text COLLATE "C" NOT NULL DEFAULT 'queued'
		CHECK (status IN ('queued', 'sending', 'filed', 'refunded', 'captured', 'released', 'refused', 'unknown', 'review', 'cancelled')),
	currency text COLLATE "C",
	refund_id bigint,
	refund_reference text COLLATE "C",
	refunded_value numeric,
	rrn text COLLATE "C",
	filed_at timestamptz,
	done_at timestamptz,
	last_error text,
	attempts integer NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	created_by name COLLATE "C",
	created_by_id oid NOT NULL DEFAULT 0,
	could_login boolean NOT NULL DEFAULT false,
	could_insert boolean NOT NULL DEFAULT false,
	due timestamptz,
	lookups smallint NOT NULL DEFAULT 0,
	asked_at timestamptz,
	origin bigint NOT NULL DEFAULT 0,
	confirmed_from integer,
	CHECK (value > 0 OR (value IS NULL AND kind = 'release'))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- One request of an invoice at a time, whatever the kind; one capture or release of an invoice for ever.
CREATE UNIQUE INDEX mf_operation_one_idx ON mf_operation (invoice) WHERE status IN ('sending', 'unknown');
CREATE UNIQUE INDEX mf_operation_capture_idx ON mf_operation (invoice) WHERE kind <> 'refund' AND status NOT IN ('refused', 'cancelled');
CREATE UNIQUE INDEX mf_operation_reference_idx ON mf_operation (reference);
CREATE UNIQUE INDEX mf_operation_idempotency_key_idx ON mf_operation (idempotency_key, account);
CREATE UNIQUE INDEX mf_operation_refund_id_idx ON mf_operation (invoice, refund_id);
CREATE INDEX mf_operation_refund_idx ON mf_operation (refund_id) WHERE refund_id IS NOT NULL;
CREATE INDEX mf_operation_due_idx ON mf_operation (account, due) WHERE due IS NOT NULL;
CREATE INDEX mf_operation_open_idx ON mf_operation (account, status) WHERE status IN ('queued', 'sending', 'filed', 'unknown', 'review');

COMMENT ON TABLE mf_operation IS 'refunds, captures and releases, each with its place on the worker''s agenda; refunds are inserted into mf_refund';
COMMENT ON COLUMN mf_operation.kind IS 'refund: MakeRefund or, with suppliers, MakeSupplierRefund; capture and release: UpdatePaymentStatus';
COMMENT ON COLUMN mf_operation.reference IS 'ExternalIdentifier of the latest attempt, by which a refund is found again';
COMMENT ON COLUMN mf_operation.done_at IS 'when an answer first said that it was refunded, captured or released';
COMMENT ON COLUMN mf_operation.due IS 'the worker does nothing before this time; of status sending, the end of the lease; null: nothing is to be done';
COMMENT ON COLUMN mf_operation.lookups IS 'look-ups since the latest attempt that have not found it; nothing is asked for without one';
COMMENT ON COLUMN mf_operation.asked_at IS 'when MyFatoorah was to be asked about it, until an answer has come: only the first answer to a later question counts as not found';
COMMENT ON COLUMN mf_operation.origin IS 'mf_origin() of the database that made this row; no other database acts on it';
COMMENT ON COLUMN mf_operation.confirmed_from IS 'checksum of the address and key where MyFatoorah has shown its invoice as ours; it is asked for nowhere else';

CREATE TABLE mf_operation_attempt (
	operation bigint NOT NULL,
	attempt integer NOT NULL,
	reference text COLLATE "C" NOT NULL,
	body_sha256 bytea NOT NULL,
	started_at timestamptz NOT NULL,
	send_by timestamptz NOT NULL,
	finished_at timestamptz,
	outcome text COLLATE "C"
		CHECK (outcome IN ('accepted', 'rejected', 'not_sent', 'throttled', 'account_problem', 'unknown')),
	http_status integer,
	refund_id bigint,
	error text,
	sent_to integer,
	PRIMARY KEY (operation, attempt)
) WITH (fillfactor = 70);

CREATE INDEX mf_operation_attempt_reference_idx ON mf_operation_attempt (reference);
CREATE INDEX mf_operation_attempt_started_at_idx ON mf_operation_attempt USING brin (started_at);

COMMENT ON TABLE mf_operation_attempt IS 'every request for a refund, capture or release, recorded before it leaves';
COMMENT ON COLUMN mf_operation_attempt.reference IS 'the ExternalIdentifier of this attempt';
COMMENT ON COLUMN mf_operation_attempt.body_sha256 IS 'SHA-256 of the request body';
COMMENT ON COLUMN mf_operation_attempt.send_by IS 'the request does not leave after this time';
COMMENT ON COLUMN mf_operation_attempt.outcome IS 'what is certain: accepted, rejected, not_sent, throttled, account_problem or unknown; null while the request is in flight';
COMMENT ON COLUMN mf_operation_attempt.refund_id IS 'the RefundId in the answer, whatever the outcome';
COMMENT ON COLUMN mf_operation_attempt.sent_to IS 'checksum of the address and key of the request';

-- People insert refunds here.
CREATE VIEW mf_refund WITH (security_barrier) AS
	SELECT o.id, o.invoice, o.value, o.payment_id, o.charge_on_customer, o.comment, o.suppliers, o.idempotency_key,
		   o.account, o.currency, o.reference, o.status, o.refund_id, o.refund_reference, o.refunded_value, o.rrn,
		   o.filed_at, o.done_at AS refunded_at,
		   CASE WHEN o.status = 'queued' AND o.asked_at IS NOT NULL THEN
				coalesce((SELECT i.payment_error FROM mf_invoice i WHERE i.id = o.invoice),
					(SELECT coalesce(q.error, 'MyFatoorah was asked about the invoice before, and has not answered; tries in a row: ' || q.failures) FROM mf_inquiry q WHERE q.invoice = o.invoice AND (q.error IS NOT NULL OR q.failures > 0)),
					o.last_error) ELSE o.last_error END AS last_error,
		   o.attempts, o.created_at, o.created_by
	FROM mf_operation o
	WHERE o.kind = 'refund' AND mf_invoice_visible(o.invoice);

COMMENT ON VIEW mf_refund IS 'insert a row, and MyFatoorah is asked for a refund once the transaction commits; refunds made in the portal are rows, too';
COMMENT ON COLUMN mf_refund.id IS 'our number of the refund';
COMMENT ON COLUMN mf_refund.invoice IS 'mf_invoice.id of the invoice that was paid';
COMMENT ON COLUMN mf_refund.value IS 'Amount, in the currency of the account, at most what is left: mf_refundable()';
COMMENT ON COLUMN mf_refund.payment_id IS 'PaymentId of the payment to refund, of an invoice that was paid more than once; null: MyFatoorah chooses';
COMMENT ON COLUMN mf_refund.charge_on_customer IS 'ServiceChargeOnCustomer: MyFatoorah''s fee is taken from what the customer gets';
COMMENT ON COLUMN mf_refund.comment IS 'Comment, shown in the MyFatoorah portal';
COMMENT ON COLUMN mf_refund.suppliers IS 'what suppliers bear, [{"SupplierCode": 1, "SupplierDeductedAmount": 5}]; the rest of value is the vendor''s';
COMMENT ON COLUMN mf_refund.idempotency_key IS 'your own key, unique within the account: a second INSERT with it makes no second refund';
COMMENT ON COLUMN mf_refund.account IS 'result: account of the invoice';
COMMENT ON COLUMN mf_refund.currency IS 'result: currency of value, that of the account, ISO 4217';
COMMENT ON COLUMN mf_refund.reference IS 'result: the unique ExternalIdentifier that is sent; null of a refund made in the portal without one';
COMMENT ON COLUMN mf_refund.status IS 'result: queued, sending, filed, refunded, refused, unknown, review or cancelled; filed is not refunded yet';
COMMENT ON COLUMN mf_refund.refund_id IS 'result: MyFatoorah''s RefundId';
COMMENT ON COLUMN mf_refund.refund_reference IS 'result: MyFatoorah''s RefundReference';
COMMENT ON COLUMN mf_refund.refunded_value IS 'result: RefundAmount, what the customer gets of value; less if the fee is on the customer';
COMMENT ON COLUMN mf_refund.rrn IS 'result: RRN, the bank''s number of the refund';
COMMENT ON COLUMN mf_refund.filed_at IS 'result: when MyFatoorah was first known to have the request';
COMMENT ON COLUMN mf_refund.refunded_at IS 'result: when MyFatoorah was first known to have refunded it';
COMMENT ON COLUMN mf_refund.last_error IS 'result: why it was refused, why it waits, or what is wrong; null if nothing is';
COMMENT ON COLUMN mf_refund.attempts IS 'result: number of the latest request for it';
COMMENT ON COLUMN mf_refund.created_at IS 'result: when the row was inserted';
COMMENT ON COLUMN mf_refund.created_by IS 'result: the role that inserted the row; null of a refund made in the portal';

CREATE TABLE mf_event (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	account text COLLATE "C" NOT NULL,
	source text COLLATE "C" NOT NULL CHECK (source IN ('webhook', 'callback', 'log', 'plan', 'person')),
	version smallint,
	event_code smallint,
	event_name text COLLATE "C",
	event_status text,
	event_reference text,
	invoice_id bigint,
	payment_id text COLLATE "C",
	customer_reference text COLLATE "C",
	invoice bigint,
	digest bytea NOT NULL,
	data jsonb,
	deliveries integer NOT NULL DEFAULT 1,
	received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	last_received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	answered_at timestamptz,
	due timestamptz,
	lookups smallint NOT NULL DEFAULT 0,
	failures smallint NOT NULL DEFAULT 0,
	UNIQUE (account, digest)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE INDEX mf_event_open_idx ON mf_event (invoice) WHERE answered_at IS NULL;
CREATE INDEX mf_event_unmatched_idx ON mf_event (invoice_id) WHERE invoice IS NULL;
CREATE INDEX mf_event_rowless_idx ON mf_event (id) WHERE invoice IS NULL OR answered_at IS NULL;
CREATE INDEX mf_event_due_idx ON mf_event (account, source, due) WHERE due IS NOT NULL;
CREATE INDEX mf_event_webhook_idx ON mf_event (account, id) WHERE source = 'webhook';
CREATE INDEX mf_event_invoice_idx ON mf_event (invoice) WHERE invoice IS NOT NULL;
CREATE INDEX mf_event_received_at_idx ON mf_event USING brin (received_at);

COMMENT ON TABLE mf_event IS 'every event that came in, once each, without personal data; an event changes no payment: it makes the worker ask MyFatoorah';
COMMENT ON COLUMN mf_event.source IS 'webhook; callback: a customer''s browser returned; log: found in MyFatoorah''s log of deliveries; plan: a recurring payment that a row has begun, to be asked about again when due; person: a decision by mf_resolve_dispute()';
COMMENT ON COLUMN mf_event.event_code IS 'MyFatoorah''s number: 1 payment, 2 refund, 3 deposit, 4 supplier, 5 recurring, 6 dispute, 7 supplier update';
COMMENT ON COLUMN mf_event.event_status IS 'status of the payment, refund or dispute that the event reports; MyFatoorah is asked before it counts; null of what was found in the log';
COMMENT ON COLUMN mf_event.event_reference IS 'WH-number; not signed';
COMMENT ON COLUMN mf_event.invoice_id IS 'MyFatoorah''s InvoiceId';
COMMENT ON COLUMN mf_event.invoice IS 'mf_invoice.id; null if it matches no row, see mf_unmatched';
COMMENT ON COLUMN mf_event.digest IS 'SHA-256 of what identifies the event: the signed part of a webhook';
COMMENT ON COLUMN mf_event.data IS 'Data of the webhook without names, addresses, cards and bank accounts; mostly not signed';
COMMENT ON COLUMN mf_event.payment_id IS 'of callbacks, which are one event per invoice: the latest new PaymentId';
COMMENT ON COLUMN mf_event.deliveries IS 'how often the event came in';
COMMENT ON COLUMN mf_event.answered_at IS 'when MyFatoorah was asked about it';
COMMENT ON COLUMN mf_event.due IS 'when MyFatoorah is asked which invoice a PaymentId belongs to, or about an InvoiceId that is not the row''s';
COMMENT ON COLUMN mf_event.lookups IS 'look-ups so far that have not settled it';
COMMENT ON COLUMN mf_event.failures IS 'look-ups in a row without a usable answer; each makes the next delay longer';

--
-- What the worker knows about an account beyond its options
--
CREATE TABLE mf_account (
	account text COLLATE "C" PRIMARY KEY,
	paused_at timestamptz,
	paused_by text,
	reason text,
	renamed_to text COLLATE "C"
);

COMMENT ON TABLE mf_account IS 'accounts whose sending is paused, by a person or because MyFatoorah refused the key; * stands for all; and former names of accounts';
COMMENT ON COLUMN mf_account.renamed_to IS 'the present name of an account that had this one, under which webhooks of its older invoices come in';

--
-- Servers, databases and timelines whose workers have served these invoices.  A
-- database that is not among them may be a copy of one that sends them, too.
--
CREATE TABLE mf_identity (
	system_identifier text COLLATE "C" NOT NULL,
	database oid NOT NULL,
	data_directory text COLLATE "C" NOT NULL,
	timeline integer NOT NULL,
	since timestamptz NOT NULL,
	marker text COLLATE "C" NOT NULL DEFAULT '',
	backup_label text COLLATE "C" NOT NULL DEFAULT '',
	origin bigint NOT NULL DEFAULT mf_origin(),
	promoted_at timestamptz,
	PRIMARY KEY (system_identifier, database)
);

INSERT INTO mf_identity (system_identifier, database, data_directory, timeline, since)
	SELECT s.system_identifier::text, d.oid, '', c.timeline_id, pg_catalog.clock_timestamp()
	FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_database d
	WHERE d.datname = pg_catalog.current_database();

COMMENT ON TABLE mf_identity IS 'servers and databases whose workers have served these invoices; rows of other servers come from copying';
COMMENT ON COLUMN mf_identity.data_directory IS 'inode numbers and creation times of the data directory and its PG_VERSION, which differ in a copy; empty until a worker has run';
COMMENT ON COLUMN mf_identity.marker IS 'inode number and creation time of the file myfatoorah.marker in the data directory, which each start of a worker replaces: a database restored from a backup names an older one; empty until a worker has run';
COMMENT ON COLUMN mf_identity.backup_label IS 'the same of backup_label.old, which a server started from a base backup leaves; empty if there is none';
COMMENT ON COLUMN mf_identity.promoted_at IS 'when a worker has seen that this server was promoted, or recovered to an earlier point: what it lacks, the primary before it may have done; null after mf_resume(''*'')';

--
-- A dump has the row of the database that it was made of, whatever keeps triggers from seeing its rows come.
--
CREATE TABLE mf_home (
	here bigint NOT NULL DEFAULT mf_here()
);

-- no key: a dump may also come back into the database that it was made of
ALTER TABLE mf_home REPLICA IDENTITY FULL;
INSERT INTO mf_home DEFAULT VALUES;

COMMENT ON TABLE mf_home IS 'the database whose functions of mf_on_change(), mf_on_time() and mf_on_request() are called; a row of another one comes with a dump, and until mf_resume(''*'') none is called';
COMMENT ON COLUMN mf_home.here IS 'mf_here() of that database';

CREATE VIEW mf_all_paused AS
	SELECT a.account FROM mf_account a WHERE a.paused_at IS NOT NULL AND a.account IN ('*', '* (subscriber ' || mf_here() || ')')
	UNION ALL
	SELECT NULL FROM mf_home h HAVING count(*) > 1 OR bool_or(h.here <> mf_here());
COMMENT ON VIEW mf_all_paused IS 'has a row while all accounts are paused, by mf_pause(''*''), by a restore, or because a subscription fills these tables: nothing is sent, and no function of users or extensions is called';
COMMENT ON COLUMN mf_all_paused.account IS 'mf_account.account; null: these are the rows of another database, from a dump; unless it is *, created_by_id may be an OID of another server, and gives nobody a right';

--
-- Functions of users that are called after changes of mf_invoice
--
-- They are stored by name, so that a dump contains them.
--
CREATE TABLE mf_reaction (
	function text COLLATE "C" PRIMARY KEY,
	owner text COLLATE "C" NOT NULL,
	registered_at timestamptz NOT NULL,
	registered_by text NOT NULL,
	failures integer NOT NULL DEFAULT 0,
	retry_at timestamptz,
	kind text COLLATE "C" NOT NULL DEFAULT 'change' CHECK (kind IN ('change', 'payment', 'time')),
	extension text COLLATE "C"
);

COMMENT ON TABLE mf_reaction IS 'functions that are called after each change of status or money of an invoice, or at a time; see mf_on_change() and mf_on_time()';
COMMENT ON COLUMN mf_reaction.function IS 'schema and name; its arguments are always (mf_invoice, mf_invoice), of kind time (timestamptz)';
COMMENT ON COLUMN mf_reaction.kind IS 'change: called after each change of an invoice; payment: not while it is being sent; time: called when due';
COMMENT ON COLUMN mf_reaction.extension IS 'the extension whose script has registered it: it is called while that exists, and no dump has this row';
COMMENT ON COLUMN mf_reaction.owner IS 'owner of the function when it was registered; it is not called while another role owns it';
COMMENT ON COLUMN mf_reaction.failures IS 'failed calls in a row';
COMMENT ON COLUMN mf_reaction.retry_at IS 'it is not called before this time';

CREATE TABLE mf_reaction_queue (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	function text COLLATE "C" NOT NULL,
	invoice bigint,
	old_row jsonb,
	new_row jsonb,
	changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	failures integer NOT NULL,
	due timestamptz NOT NULL,
	error text,
	CHECK ((invoice IS NULL) = (old_row IS NULL) AND (invoice IS NULL) = (new_row IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX mf_reaction_queue_invoice_idx ON mf_reaction_queue (function, invoice, id);
CREATE INDEX mf_reaction_queue_due_idx ON mf_reaction_queue (function, due);

COMMENT ON TABLE mf_reaction_queue IS 'changes for which functions of mf_reaction are still to be called; see mf_reaction_backlog';
COMMENT ON COLUMN mf_reaction_queue.invoice IS 'null of a function that is called at a time';
COMMENT ON COLUMN mf_reaction_queue.failures IS 'failed calls';
COMMENT ON COLUMN mf_reaction_queue.due IS 'not called before this time, nor before earlier changes of the invoice';

--
-- Functions of users that answer requests to the listener
--
CREATE TABLE mf_route (
	prefix text COLLATE "C" PRIMARY KEY,
	function text COLLATE "C" NOT NULL,
	owner text COLLATE "C" NOT NULL,
	registered_at timestamptz NOT NULL,
	registered_by text NOT NULL,
	extension text COLLATE "C"
);

COMMENT ON TABLE mf_route IS 'functions that answer requests to the listener; see mf_on_request()';
COMMENT ON COLUMN mf_route.prefix IS 'path that they begin with, such as /pay/';
COMMENT ON COLUMN mf_route.function IS 'schema and name; its argument is always (text), the rest of the path';
COMMENT ON COLUMN mf_route.owner IS 'owner of the function when it was registered; it is not called while another role owns it';
COMMENT ON COLUMN mf_route.extension IS 'the extension whose script has registered it: it is called while that exists, and no dump has this row';

CREATE TYPE mf_response AS (
	status integer,
	content_type text,
	location text,
	body text
);
COMMENT ON TYPE mf_response IS 'what a function of mf_on_request() answers: status 200, 303, 404, 410, 429 or 503; content_type text/html, text/plain or image/svg+xml, null for text/html; location for 303 only; a body of 32 KB at most';

--
-- Archive of finished invoices; the column detail has what other tables said of each
--
-- mf_archive() makes a partition for each month, which is no member of the
-- extension: so a dump has it, table and rows.  The table itself has no index: a
-- dump has those of each partition, which would meet the copies that are made
-- when it is attached.
--
CREATE TABLE mf_invoice_archive (
	LIKE mf_invoice,
	archived_at timestamptz NOT NULL,
	detail jsonb NOT NULL
) PARTITION BY RANGE (created_at);

COMMENT ON TABLE mf_invoice_archive IS 'what mf_archive() has moved here from mf_invoice, a partition for each month of created_at, by UTC; mf_invoice_all shows both';
COMMENT ON COLUMN mf_invoice_archive.detail IS 'rows that belonged to the invoice, as arrays: attempts, transitions, transactions, disputes, events';

CREATE TABLE mf_archive_key (
	id bigint PRIMARY KEY,
	created_at timestamptz NOT NULL,
	account text NOT NULL,
	reference text COLLATE "C" NOT NULL,
	idempotency_key text COLLATE "C",
	invoice_id bigint,
	paid boolean NOT NULL,
	taken_over_from text COLLATE "C"
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE UNIQUE INDEX mf_archive_key_reference_idx ON mf_archive_key (reference);
CREATE UNIQUE INDEX mf_archive_key_idempotency_key_idx ON mf_archive_key (idempotency_key, account COLLATE "C") WHERE idempotency_key IS NOT NULL;
CREATE INDEX mf_archive_key_invoice_id_idx ON mf_archive_key (invoice_id) WHERE invoice_id IS NOT NULL;

COMMENT ON TABLE mf_archive_key IS 'keys of archived invoices, which no new row may use even after their month was dropped';
COMMENT ON COLUMN mf_archive_key.created_at IS 'determines the partition of the row';
COMMENT ON COLUMN mf_archive_key.taken_over_from IS 'that of the invoice: where its invoice_id counts';
COMMENT ON COLUMN mf_archive_key.paid IS 'the invoice was sent, and had not expired or been cancelled at MyFatoorah: money may have been received for it';

CREATE VIEW mf_invoice_all WITH (security_barrier) AS
	SELECT i.*, NULL::timestamptz AS archived_at, NULL::jsonb AS detail FROM mf_invoice i WHERE mf_invoice_visible(i.id)
	UNION ALL
	SELECT a.* FROM mf_invoice_archive a WHERE mf_invoice_visible(a.id);
COMMENT ON VIEW mf_invoice_all IS 'invoices of mf_invoice and those that mf_archive() has moved';
COMMENT ON COLUMN mf_invoice_all.archived_at IS 'when it was moved; null if it is in mf_invoice';
COMMENT ON COLUMN mf_invoice_all.detail IS 'of an archived invoice, the rows that belonged to it, as arrays: attempts, transitions, transactions, disputes, events';

CREATE FUNCTION mf_archive(before date, max_invoices integer DEFAULT 10000)
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_archive IS 'moves finished invoices inserted before a day to mf_invoice_archive, max_invoices at most; returns how many, 0 when none is left but those that another session has locked';

CREATE FUNCTION mf_unarchive(ids bigint[])
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_unarchive IS 'moves archived invoices with all their rows back to mf_invoice and has the worker ask MyFatoorah about them; returns how many';

CREATE FUNCTION mf_key_taken(idempotency_key text, account text DEFAULT 'myfatoorah')
RETURNS boolean
LANGUAGE C STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_key_taken IS 'whether an invoice of the account has that idempotency_key, an archived one or one of a dropped month included; false for null';

--
-- Deposits: what MyFatoorah has transferred to the bank.  Webhooks and people ask, the
-- worker reads (GetDepositedInvoices).  Rows name the InvoiceId only: which invoice of ours
-- that is, is looked up when somebody asks, so it stays right when a row is adopted or archived.
--
CREATE TABLE mf_deposit_state (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	account text COLLATE "C" NOT NULL,
	deposit_reference text COLLATE "C" NOT NULL,
	supplier_code bigint NOT NULL DEFAULT 0,
	status text COLLATE "C" NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'read', 'failed')),
	currency text COLLATE "C",
	announced_value numeric,
	announced_count integer,
	announced_at timestamptz,
	deposit_date timestamptz,
	item_count integer,
	gross_value numeric,
	service_charge numeric,
	itemised_value numeric,
	requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	times_requested integer NOT NULL DEFAULT 1,
	read_at timestamptz,
	due timestamptz DEFAULT pg_catalog.clock_timestamp(),
	lookups smallint NOT NULL DEFAULT 0,
	failures smallint NOT NULL DEFAULT 0,
	error text,
	UNIQUE (deposit_reference, supplier_code, account)
);

CREATE INDEX mf_deposit_state_due_idx ON mf_deposit_state (account, due) WHERE due IS NOT NULL;
CREATE INDEX mf_deposit_state_date_idx ON mf_deposit_state (account, supplier_code, deposit_date);

COMMENT ON TABLE mf_deposit_state IS 'deposits of accounts, and when MyFatoorah is asked about them; mf_deposit shows them';
COMMENT ON COLUMN mf_deposit_state.supplier_code IS '0: the deposit is the account''s own';
COMMENT ON COLUMN mf_deposit_state.times_requested IS 'how often webhooks and people have asked for it: an answer to an earlier question does not settle a later one';
COMMENT ON COLUMN mf_deposit_state.lookups IS 'definite answers in a row by which it could not be read; after five of them it is failed';

CREATE TABLE mf_deposit_row (
	deposit bigint NOT NULL,
	item integer NOT NULL,
	invoice_id bigint NOT NULL,
	payment_id text COLLATE "C",
	payment_gateway text,
	invoice_reference text,
	reference text COLLATE "C",
	created_date timestamptz,
	paid_date timestamptz,
	invoice_value numeric,
	due_value numeric,
	paid_currency text COLLATE "C",
	paid_currency_value numeric,
	total_service_charge numeric,
	due_deposit numeric NOT NULL,
	PRIMARY KEY (deposit, item)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE INDEX mf_deposit_row_invoice_id_idx ON mf_deposit_row (invoice_id);

COMMENT ON TABLE mf_deposit_row IS 'payments in a deposit, as GetDepositedInvoices lists them; mf_deposit_item shows them';
COMMENT ON COLUMN mf_deposit_row.deposit IS 'mf_deposit_state.id';
COMMENT ON COLUMN mf_deposit_row.invoice_id IS 'MyFatoorah''s InvoiceId';

-- A deposit belongs to no invoice: it is shown to those whom no policy restricts.
CREATE VIEW mf_deposit WITH (security_barrier) AS
	SELECT d.id, d.account, d.deposit_reference, nullif(d.supplier_code, 0) AS supplier_code, d.status, d.currency, d.deposit_date,
		   d.announced_value, d.announced_count, d.item_count, d.gross_value, d.service_charge, d.itemised_value,
		   d.announced_at, d.requested_at, d.read_at, d.due, d.error
	FROM mf_deposit_state d
	WHERE mf_invoice_visible(NULL);
COMMENT ON VIEW mf_deposit IS 'deposits that webhooks have announced or people have asked for: what was announced, and what MyFatoorah lists';
COMMENT ON COLUMN mf_deposit.account IS 'under which it was read last, or is to be; a deposit of a merchant with several accounts is one row';
COMMENT ON COLUMN mf_deposit.supplier_code IS 'the supplier whose deposit it is; null: the account''s own';
COMMENT ON COLUMN mf_deposit.status IS 'queued: MyFatoorah is to be asked; read: the items are what it has answered last; failed: it could not be read, see error, and mf_read_deposit() asks again';
COMMENT ON COLUMN mf_deposit.currency IS 'that of the account: all amounts are in it';
COMMENT ON COLUMN mf_deposit.announced_value IS 'amount of the deposit, by its webhook or MyFatoorah''s log; null: nothing has announced it';
COMMENT ON COLUMN mf_deposit.gross_value IS 'sum of DueValue (else InvoiceValue) of the items';
COMMENT ON COLUMN mf_deposit.service_charge IS 'sum of TotalServiceCharge of the items, without tax';
COMMENT ON COLUMN mf_deposit.itemised_value IS 'sum of DueDeposit of the items: what the deposit pays for them';
COMMENT ON COLUMN mf_deposit.error IS 'why it has not been read';

CREATE VIEW mf_deposit_item WITH (security_barrier) AS
	SELECT r.deposit, d.account, d.deposit_reference, nullif(d.supplier_code, 0) AS supplier_code, d.deposit_date, r.item,
		   coalesce(i.id, k.id) AS invoice, r.invoice_id, r.payment_id, r.payment_gateway, r.invoice_reference, r.reference,
		   r.created_date, r.paid_date, r.invoice_value, r.due_value, r.paid_currency, r.paid_currency_value,
		   r.total_service_charge, r.due_deposit
	FROM mf_deposit_row r JOIN mf_deposit_state d ON d.id = r.deposit
		-- neither is a join, nor in the order of an index: a plan that knows little of the tables might walk all invoices for each row;
		-- of an account that is gone nobody knows at which address it was
		LEFT JOIN LATERAL (SELECT i.id FROM mf_invoice i WHERE i.id = ANY (ARRAY(SELECT n.invoice FROM mf_invoice_number n WHERE n.invoice_id = r.invoice_id))
			AND i.invoice_id = r.invoice_id AND (i.account = d.account OR (SELECT pg_catalog.count(*) = 2 FROM pg_catalog.pg_foreign_server s WHERE s.srvname IN (i.account, d.account)))
			AND (i.account = d.account AND i.taken_over_from IS NULL OR mf_shares_numbers(i.account, i.taken_over_from, d.account))
			ORDER BY i.account <> d.account, i.id + 0 LIMIT 1) i ON true
		LEFT JOIN LATERAL (SELECT a.id FROM mf_archive_key a WHERE a.invoice_id = r.invoice_id AND (a.account = d.account OR (SELECT pg_catalog.count(*) = 2 FROM pg_catalog.pg_foreign_server s WHERE s.srvname IN (a.account, d.account)))
			AND (a.account = d.account AND a.taken_over_from IS NULL OR mf_shares_numbers(a.account, a.taken_over_from, d.account))
			ORDER BY a.account <> d.account, a.id + 0 LIMIT 1) k ON i.id IS NULL
	WHERE mf_invoice_visible(coalesce(i.id, k.id));
COMMENT ON VIEW mf_deposit_item IS 'payments in deposits, with the invoice that each is of';
COMMENT ON COLUMN mf_deposit_item.deposit IS 'mf_deposit.id';
COMMENT ON COLUMN mf_deposit_item.invoice IS 'id of the row, which may be archived; null: the invoice was created elsewhere';
COMMENT ON COLUMN mf_deposit_item.reference IS 'CustomerReference, as it was sent: mf_invoice.reference';
COMMENT ON COLUMN mf_deposit_item.due_deposit IS 'what the deposit pays for it: fees, tax and shares of suppliers are taken off; of a supplier''s deposit, its share';

CREATE VIEW mf_undeposited WITH (security_barrier) AS
	SELECT i.id, i.account, i.invoice_id, i.customer_reference, i.payment_status, i.base_currency AS currency, i.received_value, i.net_value,
		   i.paid_at, pg_catalog.date_part('day', pg_catalog.now() - i.paid_at)::integer AS days
	FROM mf_invoice i
	WHERE i.paid_at IS NOT NULL AND i.payment_status IN ('paid', 'partly_refunded', 'disputed') AND mf_invoice_visible(i.id)
		-- looked up by the index for each invoice: as a join it would be a nested loop while the tables are not analyzed
		AND (SELECT r.deposit FROM mf_deposit_row r WHERE r.invoice_id = i.invoice_id
			AND (SELECT d.supplier_code = 0 AND (i.account = d.account OR (SELECT pg_catalog.count(*) = 2 FROM pg_catalog.pg_foreign_server s WHERE s.srvname IN (i.account, d.account)))
				AND (d.account = i.account AND i.taken_over_from IS NULL OR mf_shares_numbers(i.account, i.taken_over_from, d.account))
				FROM mf_deposit_state d WHERE d.id = r.deposit) LIMIT 1) IS NULL;
COMMENT ON VIEW mf_undeposited IS 'invoices that were paid, not refunded as a whole, and are in no deposit that was read, of the account or of another one at its address; those of mf_invoice, not archived ones';
COMMENT ON COLUMN mf_undeposited.days IS 'whole days since it was paid';

CREATE VIEW mf_deposit_difference WITH (security_barrier) AS
	-- all accounts of the merchant have one deposit: with the same secret of webhooks at the same address
	WITH a AS MATERIALIZED (SELECT o.account, ARRAY(SELECT s.srvname::text COLLATE "C" FROM pg_catalog.pg_foreign_server s
			WHERE mf_shares_numbers(s.srvname::text, NULL, o.account) AND mf_shares_webhooks(s.srvname::text, o.account) UNION SELECT o.account ORDER BY 1) AS accounts
		FROM (SELECT DISTINCT d.account FROM mf_deposit d) o)
	SELECT d.id, d.account, d.deposit_reference, d.supplier_code, d.deposit_date, d.currency, d.announced_value, d.itemised_value,
		   d.announced_value - d.itemised_value AS difference, m.amount AS refunds,
		   d.announced_value - d.itemised_value - m.amount AS unexplained,
		   d.announced_count - d.item_count AS missing_items,
		   CASE WHEN d.supplier_code IS NULL THEN d.gross_value - d.itemised_value END AS deducted, d.service_charge,
		   -- looked up by the index, as in mf_undeposited
		   (SELECT pg_catalog.count(*) FROM mf_deposit_row r WHERE r.deposit = d.id AND (SELECT o.deposit FROM mf_deposit_row o
				WHERE o.invoice_id = r.invoice_id AND o.payment_id IS NOT DISTINCT FROM r.payment_id AND (o.deposit, o.item) < (r.deposit, r.item)
					AND (SELECT s.account = ANY (d.accounts) AND s.supplier_code = coalesce(d.supplier_code, 0) FROM mf_deposit_state s WHERE s.id = o.deposit) LIMIT 1) IS NOT NULL)
			AS repeated_items
	FROM (SELECT d.*, pg_catalog.lag(d.at) OVER (PARTITION BY d.accounts, d.supplier_code ORDER BY d.at, d.id) AS since
		  FROM (SELECT d.*, a.accounts, coalesce(d.deposit_date, d.announced_at, d.requested_at) AS at FROM mf_deposit d JOIN a ON a.account = d.account
				WHERE d.read_at IS NOT NULL OR d.announced_at IS NOT NULL) d) d
		-- before the first deposit that is known there may have been others
		CROSS JOIN LATERAL (SELECT CASE WHEN d.since IS NOT NULL OR d.supplier_code IS NOT NULL
			THEN coalesce(pg_catalog.sum(m.amount), 0) END AS amount FROM mf_money m
			WHERE m.account = ANY (d.accounts) AND d.supplier_code IS NULL AND m.kind IN ('refund', 'chargeback')
				AND m.booked_at > d.since AND m.booked_at <= d.at) m
	WHERE d.read_at IS NOT NULL;
COMMENT ON VIEW mf_deposit_difference IS 'deposits that were read, also those that are to be read again: what was announced, what the items sum up to, and what explains the difference';
COMMENT ON COLUMN mf_deposit_difference.difference IS 'announced minus itemised: MyFatoorah''s list has no refunds, chargebacks and monthly fees; null if nothing was announced';
COMMENT ON COLUMN mf_deposit_difference.refunds IS 'refunds and chargebacks of the account, and of others of the merchant, that mf_ledger has booked since the deposit before, up to this one; negative; null of the first one that was read or announced: what was before it is not known';
COMMENT ON COLUMN mf_deposit_difference.unexplained IS 'difference minus refunds: fees of MyFatoorah that belong to no invoice, refunds that were booked at another time, or an error; null if either is';
COMMENT ON COLUMN mf_deposit_difference.missing_items IS 'transactions announced minus items listed';
COMMENT ON COLUMN mf_deposit_difference.repeated_items IS 'items of payments that this deposit, or one of the merchant''s that was known before it, lists already: they are in itemised_value as often as they are listed';
COMMENT ON COLUMN mf_deposit_difference.deducted IS 'gross_value minus itemised_value: fees, tax and shares of suppliers; null of a supplier''s deposit, which pays its shares';

--
-- What users have added to tables of the extension, which no dump contains
--
CREATE TABLE mf_part (
	kind text COLLATE "C" NOT NULL,
	relation name NOT NULL,
	name name NOT NULL,
	origin bigint NOT NULL DEFAULT mf_here(),
	PRIMARY KEY (relation, kind, name, origin)
);
COMMENT ON TABLE mf_part IS 'columns, constraints, indexes, triggers, rules and policies that the extension''s own tables were created with';
COMMENT ON COLUMN mf_part.origin IS 'mf_here() of the database that recorded it; rows of others come from replication';

CREATE VIEW mf_addition AS
	WITH r AS (
		SELECT c.oid, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname) AS called, c.relrowsecurity, c.relforcerowsecurity
		FROM pg_catalog.pg_extension e
			JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
				AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e'
			JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p', 'v')
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE e.extname IN ('myfatoorah', 'myfatoorah_billing')),
	f (code, firing) AS (VALUES ('D'::"char", 'DISABLE'), ('R', 'ENABLE REPLICA'), ('A', 'ENABLE ALWAYS')),
	h AS (
		SELECT 1 AS place, 'column'::text AS kind, r.relname AS relation, a.attname AS name,
			   pg_catalog.format('ALTER TABLE %s ADD COLUMN %I %s', r.called, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod))
				|| CASE WHEN v.adbin IS NULL THEN ''
					ELSE pg_catalog.format(CASE a.attgenerated WHEN '' THEN ' DEFAULT %s' WHEN 's' THEN ' GENERATED ALWAYS AS (%s) STORED' ELSE ' GENERATED ALWAYS AS (%s)' END,
						pg_catalog.pg_get_expr(v.adbin, v.adrelid)) END
				|| CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END AS definition
		FROM r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
			LEFT JOIN pg_catalog.pg_attrdef v ON v.adrelid = r.oid AND v.adnum = a.attnum
		UNION ALL
		SELECT 2, 'constraint', r.relname, c.conname,
			   pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', r.called, c.conname, pg_catalog.pg_get_constraintdef(c.oid))
		FROM r JOIN pg_catalog.pg_constraint c ON c.conrelid = r.oid AND c.contype NOT IN ('n', 't')
		UNION ALL
		SELECT 3, 'index', r.relname, i.relname,
			   pg_catalog.replace(pg_catalog.pg_get_indexdef(i.oid), ' ON ONLY ' || r.called || ' USING ', ' ON ' || r.called || ' USING ')
		FROM r JOIN pg_catalog.pg_index x ON x.indrelid = r.oid JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
		WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conindid = i.oid AND c.conrelid = r.oid)
		UNION ALL
		SELECT 4, 'trigger', r.relname, t.tgname, pg_catalog.pg_get_triggerdef(t.oid)
				|| coalesce(pg_catalog.format('; ALTER TABLE %s ' || f.firing || ' TRIGGER %I', r.called, t.tgname), '')
		FROM r JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
			LEFT JOIN f ON f.code = t.tgenabled
		UNION ALL
		SELECT 5, 'rule', r.relname, u.rulename, pg_catalog.rtrim(pg_catalog.pg_get_ruledef(u.oid), ';')
				|| coalesce(pg_catalog.format('; ALTER TABLE %s ' || f.firing || ' RULE %I', r.called, u.rulename), '')
		FROM r JOIN pg_catalog.pg_rewrite u ON u.ev_class = r.oid AND u.rulename <> '_RETURN'
			LEFT JOIN f ON f.code = u.ev_enabled
		UNION ALL
		SELECT 6, 'policy', r.relname, p.polname,
			   pg_catalog.format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, r.called,
				CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
				CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
				(SELECT pg_catalog.string_agg(CASE o.role WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(o.role)) END, ', ')
				 FROM pg_catalog.unnest(p.polroles) o(role)))
				|| coalesce(' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', '')
				|| coalesce(' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
		FROM r JOIN pg_catalog.pg_policy p ON p.polrelid = r.oid
		UNION ALL
		SELECT 7, 'row-level security', r.relname, 'enabled', pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', r.called)
		FROM r WHERE r.relrowsecurity
		UNION ALL
		SELECT 8, 'row-level security', r.relname, 'forced', pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', r.called)
		FROM r WHERE r.relforcerowsecurity)
	SELECT h.kind, h.relation, h.name, h.definition FROM h
	WHERE NOT EXISTS (SELECT FROM mf_part p WHERE p.kind = h.kind AND p.relation = h.relation AND p.name = h.name)
	ORDER BY h.place, h.relation, h.name;
COMMENT ON VIEW mf_addition IS 'what users have added to the tables of both extensions and no dump contains, with the commands that add it to a restored database';

--
-- Triggers of mf_invoice
--
CREATE FUNCTION mf_invoice_proposed()
RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_invoice_proposed() IS 'remembers what myfatoorah writes into a row, which no trigger may change';

CREATE FUNCTION mf_invoice_guard()
RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_invoice_guard() IS 'validates an invoice, assigns its reference, and refuses changes of status by any statement but those of myfatoorah';

CREATE FUNCTION mf_invoice_enqueue()
RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_invoice_enqueue() IS 'puts new and changed invoices on the worker''s agenda, and edits into the history';

-- The names put them before and after what users may add; the guard refuses other orders.
CREATE TRIGGER "00_mf_invoice_proposed"
	BEFORE UPDATE ON mf_invoice
	FOR EACH ROW EXECUTE FUNCTION mf_invoice_proposed();

CREATE TRIGGER zz_mf_invoice_guard
	BEFORE INSERT OR UPDATE OR DELETE ON mf_invoice
	FOR EACH ROW EXECUTE FUNCTION mf_invoice_guard();

CREATE TRIGGER mf_invoice_guard_truncate
	BEFORE TRUNCATE ON mf_invoice
	FOR EACH STATEMENT EXECUTE FUNCTION mf_invoice_guard();

CREATE TRIGGER mf_invoice_enqueue_insert
	AFTER INSERT ON mf_invoice
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION mf_invoice_enqueue();

CREATE TRIGGER mf_invoice_enqueue_update
	AFTER UPDATE ON mf_invoice
	FOR EACH ROW WHEN (CURRENT_USER <> 'myfatoorah_worker') EXECUTE FUNCTION mf_invoice_enqueue();

CREATE FUNCTION mf_operation_guard()
RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_operation_guard() IS 'validates a refund, locks its invoice, and refuses more than was received';

CREATE TRIGGER zz_mf_operation_guard
	BEFORE INSERT ON mf_operation
	FOR EACH ROW EXECUTE FUNCTION mf_operation_guard();

CREATE FUNCTION mf_invoice_on_change()
RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_invoice_on_change() IS 'calls the functions of mf_reaction';

CREATE TRIGGER mf_invoice_on_change
	AFTER UPDATE ON mf_invoice
	FOR EACH ROW EXECUTE FUNCTION mf_invoice_on_change();

CREATE FUNCTION mf_enqueue()
RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_enqueue() IS 'AFTER INSERT trigger for your own tables: inserts an invoice for each row; arguments are ''field=column'' or ''field=constant'', ''id=column'' to write the invoice''s id back, and ''on_update=sync'' and ''on_delete=cancel'' to follow the row until the invoice is sent';

CREATE FUNCTION mf_validate(invoice mf_invoice)
RETURNS TABLE (field text, message text, hint text)
LANGUAGE C STABLE PARALLEL UNSAFE ROWS 1
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_validate(mf_invoice) IS 'the errors that an INSERT of that row into mf_invoice would raise, one row for each column, none if it would succeed; null stands for the default. Writes nothing';

--
-- Direct calls
--
CREATE TYPE mf_send_payment_result AS (
	invoice_id bigint,
	invoice_url text,
	customer_reference text,
	user_defined_field text
);
COMMENT ON TYPE mf_send_payment_result IS 'the answer to SendPayment';

CREATE FUNCTION mf_send_payment(
	customer_name text,
	invoice_value numeric,
	notification_option text DEFAULT 'LNK',
	customer_email text DEFAULT NULL,
	customer_mobile text DEFAULT NULL,
	mobile_country_code text DEFAULT NULL,
	display_currency_iso text DEFAULT NULL,
	language text DEFAULT NULL,
	customer_reference text DEFAULT NULL,
	customer_civil_id text DEFAULT NULL,
	user_defined_field text DEFAULT NULL,
	call_back_url text DEFAULT NULL,
	error_url text DEFAULT NULL,
	webhook_url text DEFAULT NULL,
	expiry_date timestamptz DEFAULT NULL,
	customer_address jsonb DEFAULT NULL,
	invoice_items jsonb DEFAULT NULL,
	shipping_method smallint DEFAULT NULL,
	shipping_consignee jsonb DEFAULT NULL,
	suppliers jsonb DEFAULT NULL,
	processing_details jsonb DEFAULT NULL,
	invoice_payment_methods integer[] DEFAULT NULL,
	source_info text DEFAULT NULL,
	account text DEFAULT 'myfatoorah',
	record boolean DEFAULT false)
RETURNS mf_send_payment_result
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_send_payment IS 'creates an invoice now and waits for the answer; cannot be rolled back. With record, it also inserts a row into mf_invoice, whose payment is then awaited';

CREATE TYPE mf_execute_payment_result AS (
	invoice_id bigint,
	invoice_url text,
	customer_reference text,
	user_defined_field text,
	recurring_id text
);
COMMENT ON TYPE mf_execute_payment_result IS 'the answer to ExecutePayment; PaymentURL is invoice_url';

CREATE FUNCTION mf_execute_payment(
	customer_name text,
	invoice_value numeric,
	payment_method_id integer,
	customer_email text DEFAULT NULL,
	customer_mobile text DEFAULT NULL,
	mobile_country_code text DEFAULT NULL,
	display_currency_iso text DEFAULT NULL,
	language text DEFAULT NULL,
	customer_reference text DEFAULT NULL,
	customer_civil_id text DEFAULT NULL,
	user_defined_field text DEFAULT NULL,
	call_back_url text DEFAULT NULL,
	error_url text DEFAULT NULL,
	webhook_url text DEFAULT NULL,
	expiry_date timestamptz DEFAULT NULL,
	customer_address jsonb DEFAULT NULL,
	invoice_items jsonb DEFAULT NULL,
	shipping_method smallint DEFAULT NULL,
	shipping_consignee jsonb DEFAULT NULL,
	suppliers jsonb DEFAULT NULL,
	processing_details jsonb DEFAULT NULL,
	source_info text DEFAULT NULL,
	recurring_type text DEFAULT NULL,
	interval_days integer DEFAULT NULL,
	iteration integer DEFAULT NULL,
	retry_count integer DEFAULT NULL,
	account text DEFAULT 'myfatoorah',
	record boolean DEFAULT false)
RETURNS mf_execute_payment_result
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_execute_payment IS 'creates an invoice with a page of one method of payment now and waits for the answer, as mf_send_payment() does; with recurring_type its payment begins a recurring one';

CREATE FUNCTION mf_adopt(invoice_id text, account text DEFAULT 'myfatoorah')
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_adopt IS 'asks MyFatoorah for an invoice that was created elsewhere, and inserts a row for it, whose payment is then awaited; returns the id of the row';

CREATE FUNCTION mf_payment_status(
	key text,
	key_type text DEFAULT 'PaymentId',
	account text DEFAULT 'myfatoorah',
	OUT invoice_id bigint,
	OUT invoice_status text,
	OUT invoice_reference text,
	OUT customer_reference text,
	OUT created_date timestamptz,
	OUT expiry_date timestamptz,
	OUT invoice_value numeric,
	OUT comments text,
	OUT customer_name text,
	OUT customer_mobile text,
	OUT customer_email text,
	OUT user_defined_field text,
	OUT invoice_display_value numeric,
	OUT display_currency text,
	OUT due_deposit numeric,
	OUT deposit_status text,
	OUT invoice_items jsonb,
	OUT invoice_transactions jsonb,
	OUT suppliers jsonb)
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_payment_status IS 'asks MyFatoorah for one invoice by PaymentId, InvoiceId or CustomerReference and waits for the answer';

CREATE FUNCTION mf_payment_methods(value numeric, currency text DEFAULT NULL, account text DEFAULT 'myfatoorah')
RETURNS TABLE (
	payment_method_id integer,
	payment_method_code text,
	payment_method_en text,
	payment_method_ar text,
	is_direct_payment boolean,
	is_embedded_supported boolean,
	service_charge numeric,
	total_amount numeric,
	currency_iso text,
	payment_currency_iso text,
	image_url text)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 8
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_payment_methods IS 'asks MyFatoorah (InitiatePayment) by which methods that amount can be paid, in the currency of the account unless another is given, and for which fee, and waits for the answer';

CREATE FUNCTION mf_exchange_rates(account text DEFAULT 'myfatoorah')
RETURNS TABLE (currency text, rate numeric)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_exchange_rates IS 'asks MyFatoorah for its rates, so much of each currency for one of the account''s, and waits for the answer';

CREATE FUNCTION mf_suppliers(account text DEFAULT 'myfatoorah')
RETURNS TABLE (
	supplier_code bigint,
	supplier_name text,
	supplier_status text,
	comment text,
	mobile text,
	email text,
	business_name text,
	commission_value numeric,
	commission_percentage numeric,
	is_percentage_of_net_value boolean,
	deposit_terms text,
	deposit_day text,
	display_supplier_details boolean,
	supplier_commissions jsonb,
	business_category jsonb)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_suppliers IS 'asks MyFatoorah for the suppliers of the account, and waits for the answer; they are made in the portal';

CREATE FUNCTION mf_recurring(account text DEFAULT 'myfatoorah')
RETURNS TABLE (
	recurring_id text,
	recurring_status text,
	creation_date timestamptz,
	recurring_value numeric,
	recurring_type text,
	interval_days integer,
	executed_times integer,
	last_pay_date timestamptz,
	next_pay_date timestamptz,
	is_active boolean,
	recurring_invoices jsonb)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_recurring IS 'asks MyFatoorah for the recurring payments of the account, and waits: all of them, as the answer lists them, with their repetitions';

CREATE FUNCTION mf_cancel_recurring(recurring_id text, account text DEFAULT 'myfatoorah')
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_cancel_recurring IS 'has MyFatoorah end a recurring payment now, and waits for the answer; cannot be rolled back';

CREATE FUNCTION mf_resume_recurring(recurring_id text, account text DEFAULT 'myfatoorah')
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_resume_recurring IS 'has MyFatoorah go on with a recurring payment whose retries were used up, and waits for the answer; cannot be rolled back';

CREATE FUNCTION mf_payment_transactions(
	key text,
	key_type text DEFAULT 'PaymentId',
	account text DEFAULT 'myfatoorah')
RETURNS TABLE (
	transaction_date timestamptz,
	payment_gateway text,
	reference_id text,
	track_id text,
	transaction_id text,
	payment_id text,
	authorization_id text,
	transaction_status text,
	transaction_value numeric,
	customer_service_charge numeric,
	total_service_charge numeric,
	due_value numeric,
	paid_currency text,
	paid_currency_value numeric,
	vat_amount numeric,
	ip_address text,
	country text,
	currency text,
	error text,
	card_number text,
	error_code text,
	eci text,
	card jsonb)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 5
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_payment_transactions IS 'asks MyFatoorah for the transactions of one invoice and waits for the answer; one row each';

CREATE FUNCTION mf_check(
	account text DEFAULT 'myfatoorah',
	OUT item text,
	OUT ok boolean,
	OUT detail text,
	OUT hint text)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 8
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_check IS 'checks settings, worker, account, network and key, and says how to correct what is wrong';

CREATE FUNCTION mf_probe_idempotency(
	account text DEFAULT 'myfatoorah',
	value numeric DEFAULT 1,
	OUT step text,
	OUT ok boolean,
	OUT detail text)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 5
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_probe_idempotency IS 'makes an invoice of that value by POST /v3/payments, repeats the request with the same Idempotency-Key, and looks it up: the option api auto of the account waits for that. The invoice stays in the portal, and can be paid for an hour by whoever gets its link there; a rollback does not remove it';

--
-- Incoming webhooks and callbacks
--
CREATE FUNCTION mf_webhook(body text, signature text, version text DEFAULT NULL, account text DEFAULT 'myfatoorah')
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_webhook IS 'stores a webhook, given its body and the headers MyFatoorah-Signature and MyFatoorah-Webhook-Version; returns mf_event.id. Answer 200 after the commit';

CREATE FUNCTION mf_callback(payment_id text, account text DEFAULT 'myfatoorah')
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_callback IS 'stores the paymentId that a customer''s browser brought to a CallBackUrl or ErrorUrl; returns mf_event.id';

--
-- Functions for operators
--
CREATE FUNCTION mf_refresh(id bigint)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_refresh(bigint) IS 'has the worker ask MyFatoorah about a sent invoice at once, including refunds, whatever its payment_status';

-- Of parameters without a type, as drivers send them, PostgreSQL would not know whether they are bigint or bigint[].
CREATE FUNCTION mf_refresh(id text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN mf_refresh(id::bigint);
COMMENT ON FUNCTION mf_refresh(text) IS 'the same, for an id that a driver sends without a type';

CREATE FUNCTION mf_refresh(ids bigint[])
RETURNS TABLE (id bigint, result text)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME', 'mf_refresh_many';
COMMENT ON FUNCTION mf_refresh(bigint[]) IS 'the same for each of many invoices; the result is asked, asked_later, or the reason why not';

CREATE FUNCTION mf_read_deposit(deposit_reference text, account text DEFAULT 'myfatoorah', supplier_code bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_read_deposit IS 'has the worker read a deposit, also again; returns mf_deposit.id';

CREATE FUNCTION mf_wait(
	id bigint,
	timeout interval DEFAULT '1 minute',
	status text DEFAULT NULL,
	payment_status text DEFAULT NULL,
	OUT changed boolean,
	OUT status_now text,
	OUT payment_status_now text)
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_wait IS 'sleeps until an invoice has the given status and payment_status or, if none is given, until either changes; changed is false if the timeout came first';

CREATE FUNCTION mf_pause(account text DEFAULT 'myfatoorah', reason text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_pause IS 'stops sending for an account, * for all; requests in flight are finished';

CREATE FUNCTION mf_resume(account text DEFAULT 'myfatoorah')
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_resume IS 'starts sending again for an account, * for all';

CREATE FUNCTION mf_drain(timeout interval DEFAULT '30 seconds')
RETURNS integer
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_drain IS 'for a planned switchover: stops sending for all accounts and waits for the requests in flight; returns how many still have no recorded outcome. Ends with mf_resume(), with the server, or ten minutes after the timeout';

CREATE FUNCTION mf_resolve(id bigint, decision text, reason text, invoice_id bigint DEFAULT NULL, invoice_url text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_resolve IS 'decides about an invoice in review: adopt (with the InvoiceId found in the portal), resend or abandon; dismiss clears the suspicion of a duplicate, adopt says that the other invoice is the valid one; review takes an InvoiceId back that was given by mistake';

CREATE FUNCTION mf_resolve_dispute(invoice bigint, dispute_id text, status text, reason text)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_resolve_dispute(bigint, text, text, text) IS 'books how a dispute has ended, RESOLVED or LOST, where the portal shows it otherwise than webhooks have told; it is read once MyFatoorah was asked about the invoice';

CREATE FUNCTION mf_cancel(id bigint, reason text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_cancel(bigint, text) IS 'cancels an invoice that is queued or rejected; one that may already exist is looked up first';

CREATE FUNCTION mf_cancel(id text, reason text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN mf_cancel(id::bigint, reason);
COMMENT ON FUNCTION mf_cancel(text, text) IS 'the same, for an id that a driver sends without a type';

CREATE FUNCTION mf_cancel(ids bigint[], reason text DEFAULT NULL)
RETURNS TABLE (id bigint, result text)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME', 'mf_cancel_many';
COMMENT ON FUNCTION mf_cancel(bigint[], text) IS 'the same for each of many invoices; the result is cancelled, cancel_requested, or the reason why not';

CREATE FUNCTION mf_retry(id bigint, reason text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_retry(bigint, text) IS 'queues a rejected invoice again under a new reference, after its fields were corrected';

CREATE FUNCTION mf_retry(id text, reason text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN mf_retry(id::bigint, reason);
COMMENT ON FUNCTION mf_retry(text, text) IS 'the same, for an id that a driver sends without a type';

CREATE FUNCTION mf_retry(ids bigint[], reason text DEFAULT NULL)
RETURNS TABLE (id bigint, result text)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME', 'mf_retry_many';
COMMENT ON FUNCTION mf_retry(bigint[], text) IS 'the same for each of many invoices; the result is queued, or the reason why not';

CREATE FUNCTION mf_repair(OUT kind text, OUT invoices bigint)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE ROWS 6
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_repair() IS 'puts invoices that were loaded without triggers on the agenda, to be looked up before they are sent; removes entries without an invoice; gives entries the account and time of their invoice, and rows the present name of their role; returns how many of each kind';

CREATE FUNCTION mf_move_account(old_account text, new_account text)
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_move_account IS 'gives everything that names an account whose server is gone to the account with the new name; returns how many invoices';

CREATE FUNCTION mf_forget(customer_reference text, account name DEFAULT NULL)
RETURNS TABLE (id bigint, result text)
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_forget IS 'erases names, addresses and numbers of one customer in finished invoices; one row for each: forgotten, forgotten_before, or the reason why not';

CREATE FUNCTION mf_refundable(invoice bigint, payment_id text DEFAULT NULL)
RETURNS numeric
LANGUAGE C STABLE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_refundable(bigint, text) IS 'what can still be refunded of an invoice, or of one of its payments, in the currency of the account: what was received, less refunds that are not refused or cancelled, and chargebacks; a payment under a dispute counts until that is LOST';

CREATE FUNCTION mf_cancel_refund(id bigint, reason text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_cancel_refund(bigint, text) IS 'cancels a refund that is queued: it is not asked for';

CREATE FUNCTION mf_retry_refund(id bigint, reason text)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_retry_refund(bigint, text) IS 'queues a refund that was refused, or is in review, again, under a new reference';

CREATE FUNCTION mf_resolve_refund(id bigint, outcome text, reason text, refund_id bigint DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_resolve_refund(bigint, text, text, bigint) IS 'decides about a refund in review: filed (with the RefundId that the portal shows) or refused (the portal shows none); or takes a RefundId back that was wrong: review';

CREATE FUNCTION mf_capture(invoice bigint, value numeric DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_capture(bigint, numeric, text) IS 'has an authorized payment of an invoice captured, all of it or a part, which gives up the rest; returns mf_operation.id';

CREATE FUNCTION mf_release(invoice bigint, reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_release(bigint, text) IS 'has an authorized payment of an invoice given back; returns mf_operation.id';

CREATE FUNCTION mf_cancel_capture(invoice bigint, reason text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_cancel_capture(bigint, text) IS 'cancels the capture or release of an invoice, given by mf_invoice.id, that is queued or in review';

CREATE FUNCTION mf_on_change(function regprocedure, payments_only boolean DEFAULT false)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_on_change IS 'has a function (old mf_invoice, new mf_invoice) called after each change of status or money of an invoice, with the rights of its owner; a failed call is repeated later. With payments_only, not for the changes of status to sending and sent, which each invoice goes through';

CREATE FUNCTION mf_on_time(function regprocedure, first_at timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_on_time IS 'has a function (at timestamptz) RETURNS timestamptz called when due, with the rights of its owner: first at the given time, then when its result says; null: not before mf_call_at() says so. A failed call is repeated later';

CREATE FUNCTION mf_call_at(function text, at timestamptz)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_call_at IS 'has a function of mf_on_time() called at the given time or earlier, once this transaction has committed';

CREATE FUNCTION mf_off_change(function text)
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_off_change IS 'ends the calls that mf_on_change() or mf_on_time() began; returns how many pending calls were dropped';

CREATE FUNCTION mf_on_request(prefix text, function regprocedure)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_on_request IS 'has the listener answer GET of paths below a prefix, such as /pay/, by a function (path text) RETURNS mf_response, called with the rights of its owner';

CREATE FUNCTION mf_off_request(prefix text)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_off_request IS 'ends what mf_on_request() began';

-- In the order of the columns of mf_invoice.  A column that somebody has added behind them is null.
CREATE FUNCTION mf_new_invoice(
	account text DEFAULT NULL, customer_name text DEFAULT NULL, invoice_value numeric DEFAULT NULL, notification_option text DEFAULT NULL,
	customer_email text DEFAULT NULL, customer_mobile text DEFAULT NULL, mobile_country_code text DEFAULT NULL,
	display_currency_iso text DEFAULT NULL, language text DEFAULT NULL, customer_reference text DEFAULT NULL,
	customer_civil_id text DEFAULT NULL, user_defined_field text DEFAULT NULL, call_back_url text DEFAULT NULL, error_url text DEFAULT NULL,
	webhook_url text DEFAULT NULL, expiry_date timestamptz DEFAULT NULL, customer_address jsonb DEFAULT NULL, invoice_items jsonb DEFAULT NULL,
	shipping_method smallint DEFAULT NULL, shipping_consignee jsonb DEFAULT NULL, suppliers jsonb DEFAULT NULL,
	processing_details jsonb DEFAULT NULL, invoice_payment_methods integer[] DEFAULT NULL, source_info text DEFAULT NULL,
	payment_method_id integer DEFAULT NULL, recurring_type text DEFAULT NULL, interval_days integer DEFAULT NULL,
	iteration integer DEFAULT NULL, retry_count integer DEFAULT NULL,
	send_at timestamptz DEFAULT NULL, priority smallint DEFAULT NULL, idempotency_key text DEFAULT NULL, callbacks boolean DEFAULT NULL,
	metadata jsonb DEFAULT NULL)
RETURNS mf_invoice
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_new_invoice IS 'for other extensions: a row of mf_invoice for mf_insert_as(); null stands for the default';

CREATE FUNCTION mf_insert_as(role oid, invoices mf_invoice[], replaces bigint[] DEFAULT NULL, ids bigint[] DEFAULT NULL)
RETURNS bigint[]
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_insert_as IS 'for other extensions: inserts invoices, with the rights and the key of a role; what only the worker writes is not taken from them. Those in replaces are retired in their favour, one for each, as by mf_replace(). They get ids, one each, if that is given, which takes the right to INSERT (id) on mf_invoice. Returns their ids in the same order';

CREATE FUNCTION mf_replace(id bigint, changes jsonb DEFAULT '{}', reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_replace IS 'makes a new invoice like this one, as the role that inserted it, with the given columns changed, and retires this one: it is not sent any more, and if it was sent, its payment is still recorded. Returns the id of the new one';

--
-- For people and monitoring
--
CREATE FUNCTION mf_worker_stat(
	OUT database name,
	OUT pid integer,
	OUT started_at timestamptz,
	OUT in_flight integer,
	OUT wakeups bigint,
	OUT transactions bigint,
	OUT requests bigint,
	OUT last_error text,
	OUT last_error_at timestamptz)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 4
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_worker_stat() IS 'running workers of all databases; last_error only of this database';

CREATE VIEW mf_worker_status AS
	SELECT * FROM mf_worker_stat() WHERE database = pg_catalog.current_database();
COMMENT ON VIEW mf_worker_status IS 'the worker of this database; no row means that none is running';

CREATE FUNCTION mf_listener_stat(
	OUT database name,
	OUT pid integer,
	OUT started_at timestamptz,
	OUT addresses text,
	OUT port integer,
	OUT tls boolean,
	OUT connections integer,
	OUT wakeups bigint,
	OUT requests bigint,
	OUT webhooks bigint,
	OUT repeated bigint,
	OUT callbacks bigint,
	OUT refused bigint,
	OUT last_error text,
	OUT last_error_at timestamptz)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 4
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_listener_stat() IS 'running listeners of all databases; last_error only of this database';

CREATE VIEW mf_listener_status AS
	SELECT * FROM mf_listener_stat() WHERE database = pg_catalog.current_database();
COMMENT ON VIEW mf_listener_status IS 'the listener of this database; no row: none is running; port null: it is not listening';
COMMENT ON COLUMN mf_listener_status.webhooks IS 'stored webhooks, repeated deliveries included';
COMMENT ON COLUMN mf_listener_status.refused IS 'refused requests and connections of all kinds';

CREATE FUNCTION mf_metrics(
	OUT name text,
	OUT account text,
	OUT kind text,
	OUT result text,
	OUT value double precision,
	OUT since timestamptz)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 50
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_metrics() IS 'what the processes of this database have counted since the start of the server; account * is all but the first 64 together';

CREATE FUNCTION mf_request_times(
	OUT kind text,
	OUT le double precision,
	OUT requests bigint,
	OUT seconds double precision)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 65
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_request_times() IS 'how many answers of MyFatoorah have taken up to so many seconds, by kind of request, and how many new connections; seconds is the sum of all';

CREATE FUNCTION mf_progress_stat(
	OUT command text,
	OUT pid integer,
	OUT unit text,
	OUT done bigint,
	OUT total bigint,
	OUT started_at timestamptz)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED ROWS 4
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_progress_stat() IS 'work of this database that takes long: see mf_progress';

CREATE VIEW mf_backlog AS
	SELECT q.account, q.kind, q.invoices, q.due_invoices, q.oldest_due, a.paused_at, a.paused_by, a.reason AS pause_reason,
		   m.value AS per_second,
		   CASE WHEN a.paused_at IS NULL AND m.value > 0 AND q.due_invoices > 0 THEN
				pg_catalog.now() + pg_catalog.make_interval(secs => q.due_invoices / m.value) END AS estimated_end
	FROM (SELECT account, kind, pg_catalog.count(*) AS invoices,
				 pg_catalog.count(*) FILTER (WHERE due <= pg_catalog.now()) AS due_invoices,
				 pg_catalog.min(due) AS oldest_due
		  FROM (SELECT account, kind, due FROM mf_queue
				UNION ALL SELECT account, kind, due FROM mf_operation WHERE status IN ('queued', 'sending', 'unknown')) e GROUP BY account, kind) q LEFT JOIN LATERAL (
		SELECT p.paused_at, p.paused_by, p.reason FROM mf_account p
		WHERE p.account IN (q.account, '*') AND p.paused_at IS NOT NULL
		ORDER BY p.paused_at LIMIT 1) a ON true
		LEFT JOIN mf_metrics() m ON m.name = 'rate' AND m.account = q.account AND m.kind = q.kind;
COMMENT ON VIEW mf_backlog IS 'what the worker has to do, by account and kind: mf_queue.kind, or refund, capture, release';
COMMENT ON COLUMN mf_backlog.per_second IS 'how many were done per second in the last minute; null: none, or not one of the accounts that are counted by name';
COMMENT ON COLUMN mf_backlog.estimated_end IS 'when what is due is done, at that rate';

CREATE VIEW mf_progress AS
	SELECT p.command, p.pid, p.unit, p.done, p.total, p.started_at,
		   CASE WHEN p.done > 0 AND p.unit <> 'steps' THEN
				p.done / greatest(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - p.started_at), 0.001) END AS per_second,
		   CASE WHEN p.done > 0 AND p.total > p.done AND p.unit <> 'steps' THEN
				pg_catalog.clock_timestamp() + (pg_catalog.clock_timestamp() - p.started_at) / p.done * (p.total - p.done) END AS estimated_end
	FROM mf_progress_stat() p
	UNION ALL
	SELECT 'look-ups', NULL, 'invoices', NULL, b.invoices, NULL, b.per_second,
		   CASE WHEN b.per_second > 0 THEN
				pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => b.invoices / b.per_second) END
	FROM (SELECT pg_catalog.count(*) AS invoices FROM mf_queue WHERE kind = 'verify') q,
		LATERAL (SELECT q.invoices, (SELECT pg_catalog.sum(m.value) FROM mf_metrics() m
									 WHERE m.name = 'rate' AND m.kind = 'verify') AS per_second) b
	WHERE b.invoices > 0;
COMMENT ON VIEW mf_progress IS 'work that takes long, while it runs: archive, unarchive, repair, webhook log, catch up, and the look-ups after a restore or promotion';
COMMENT ON COLUMN mf_progress.total IS 'what done will be at the end, as far as is known; of look-ups, the invoices that are left';

--
-- For monitoring: numbers only, so that a role may watch that reads no invoice
--
CREATE VIEW mf_metrics_backlog AS
	WITH backlog AS (
		SELECT q.account, q.kind, pg_catalog.count(*) AS invoices,
			   pg_catalog.count(*) FILTER (WHERE q.due <= pg_catalog.now()) AS due_invoices,
			   pg_catalog.min(q.due) FILTER (WHERE q.due <= pg_catalog.now()) AS oldest_due
		FROM (SELECT account, kind, due FROM mf_queue
			  UNION ALL SELECT account, kind, due FROM mf_operation WHERE status IN ('queued', 'sending', 'unknown')) q GROUP BY q.account, q.kind),
	largest AS (
		SELECT b.account FROM backlog b GROUP BY b.account
		ORDER BY pg_catalog.sum(b.due_invoices) DESC, pg_catalog.sum(b.invoices) DESC, b.account LIMIT 50)
	SELECT coalesce(l.account, '*') AS account, b.kind, pg_catalog.sum(b.invoices)::bigint AS invoices,
		   pg_catalog.sum(b.due_invoices)::bigint AS due_invoices,
		   coalesce(pg_catalog.date_part('epoch', pg_catalog.now() - pg_catalog.min(b.oldest_due)), 0) AS oldest_due_seconds
	FROM backlog b LEFT JOIN largest l ON l.account = b.account
	GROUP BY coalesce(l.account, '*'), b.kind;
COMMENT ON VIEW mf_metrics_backlog IS 'mf_backlog in numbers, of the 50 accounts with most that is due; account * is all others together';

CREATE VIEW mf_metrics_attention AS
	SELECT (SELECT pg_catalog.count(*) FROM (
				SELECT q.invoice FROM mf_queue q WHERE q.kind = 'review'
				UNION SELECT q.invoice FROM mf_queue q WHERE q.error IS NOT NULL
				UNION SELECT q.invoice FROM mf_inquiry q WHERE q.error IS NOT NULL
				UNION SELECT o.invoice FROM mf_operation o WHERE o.status = 'review'
				UNION SELECT i.id FROM mf_invoice i WHERE i.payment_doubt IS NOT NULL) r) AS review_invoices,
		   (SELECT pg_catalog.count(*) FROM mf_account a WHERE a.paused_at IS NOT NULL) AS paused_accounts,
		   u.inquiries AS urgent_inquiries, coalesce(pg_catalog.date_part('epoch', pg_catalog.now() - u.oldest), 0) AS oldest_urgent_seconds,
		   r.pending AS pending_reactions, r.failing AS failing_reactions,
		   (SELECT pg_catalog.count(*) FROM mf_deposit_state d WHERE d.status = 'failed' OR d.error IS NOT NULL) AS unread_deposits,
		   h.payments AS held_payments, coalesce(pg_catalog.date_part('epoch', pg_catalog.now() - h.oldest), 0) AS oldest_hold_seconds
	FROM (SELECT pg_catalog.count(*) AS inquiries, pg_catalog.min(q.due) FILTER (WHERE q.due <= pg_catalog.now()) AS oldest
		  FROM (SELECT i.due FROM mf_inquiry i WHERE i.urgent AND i.ordered_by = 0
				UNION ALL SELECT i.due FROM mf_inquiry i WHERE i.urgent AND i.ordered_by <> 0) q) u,
		 (SELECT pg_catalog.count(*) FILTER (WHERE q.invoice IS NOT NULL OR q.due <= pg_catalog.now()) AS pending,
				 pg_catalog.count(*) FILTER (WHERE q.error IS NOT NULL) AS failing
		  FROM mf_reaction_queue q JOIN mf_reaction r ON r.function = q.function) r,
		 (SELECT pg_catalog.count(*) AS payments, pg_catalog.min((SELECT pg_catalog.min(coalesce(t.transaction_date, t.first_seen_at)) FROM mf_transaction t
				WHERE t.invoice = i.id AND pg_catalog.lower(t.transaction_status) = 'authorize')) AS oldest
		  FROM mf_invoice i WHERE i.payment_status = 'authorized') h;
COMMENT ON VIEW mf_metrics_attention IS 'what may need a person, in numbers; of all roles, whatever row-level security hides';

CREATE VIEW mf_reaction_backlog WITH (security_barrier) AS
	SELECT q.function, r.owner, q.invoice, pg_catalog.count(*) AS changes, pg_catalog.min(q.changed_at) AS changed_at,
		   pg_catalog.max(q.failures) AS failures,
		   greatest((pg_catalog.array_agg(q.due ORDER BY q.id))[1], r.retry_at) AS due, pg_catalog.max(q.error) AS error
	FROM mf_reaction_queue q JOIN mf_reaction r ON r.function = q.function
	WHERE (pg_catalog.pg_has_role('myfatoorah_read', 'USAGE')
		   OR pg_catalog.pg_has_role((SELECT a.oid FROM pg_catalog.pg_roles a WHERE a.rolname = r.owner), 'USAGE'))
		AND (q.invoice IS NULL OR mf_invoice_visible(q.invoice))
	GROUP BY q.function, r.owner, r.retry_at, q.invoice;
COMMENT ON VIEW mf_reaction_backlog IS 'changes and times for which functions of mf_reaction are still to be called, by function and invoice (null of a time), with the error of the latest call; who is not in myfatoorah_read sees only the functions of their own roles';

CREATE VIEW mf_payment_backlog AS
	SELECT q.account, i.payment_status, pg_catalog.count(*) AS invoices,
		   pg_catalog.count(*) FILTER (WHERE q.urgent) AS urgent_invoices,
		   pg_catalog.count(*) FILTER (WHERE q.due <= pg_catalog.now()) AS due_invoices,
		   pg_catalog.min(q.due) AS oldest_due
	FROM mf_inquiry q JOIN mf_invoice i ON i.id = q.invoice
	GROUP BY q.account, i.payment_status;
COMMENT ON VIEW mf_payment_backlog IS 'invoices whose payment is awaited, by account and payment_status';

CREATE VIEW mf_number WITH (security_barrier) AS
	SELECT k.invoice_id, i.id AS invoice
	FROM mf_invoice_number k JOIN mf_invoice i ON i.id = k.invoice AND i.invoice_id = k.invoice_id
	WHERE mf_invoice_visible(i.id);
COMMENT ON VIEW mf_number IS 'the invoice that has an InvoiceId, found by an index: SELECT * FROM mf_invoice WHERE id IN (SELECT invoice FROM mf_number WHERE invoice_id = ...)';

CREATE VIEW mf_open WITH (security_barrier) AS
	SELECT i.id, i.account, i.customer_reference, i.customer_name, i.customer_email, i.customer_mobile,
		   i.invoice_value, i.currency, i.payment_status, i.created_at, i.sent_at,
		   pg_catalog.date_part('day', pg_catalog.now() - i.sent_at)::integer AS days_open,
		   coalesce(i.expires_at, i.expiry_date) AS expires_at,
		   t.tried_at AS last_try_at, t.transaction_status AS last_try, t.error AS last_try_error,
		   i.invoice_id, i.invoice_url
	FROM mf_invoice i LEFT JOIN LATERAL (
		SELECT coalesce(t.transaction_date, t.first_seen_at) AS tried_at, t.transaction_status, t.error
		FROM mf_transaction t WHERE t.invoice = i.id
		ORDER BY coalesce(t.transaction_date, t.first_seen_at) DESC LIMIT 1) t ON true
	WHERE i.invoice_id IS NOT NULL AND i.payment_status IN ('unpaid', 'authorized') AND mf_invoice_visible(i.id)
		AND (i.replaced_by IS NULL OR NOT (EXISTS (SELECT FROM mf_invoice r WHERE r.id = i.replaced_by AND r.status NOT IN ('rejected', 'cancelled') AND r.payment_status NOT IN ('expired', 'remote_cancelled'))
			OR (SELECT k.paid FROM mf_archive_key k WHERE k.id = i.replaced_by) IS TRUE));
COMMENT ON VIEW mf_open IS 'invoices that were sent and can still be paid, without those that another replaces which is to be paid or was: since when, until when, the customer''s latest transaction, the link';
COMMENT ON COLUMN mf_open.days_open IS 'whole days since it was sent';
COMMENT ON COLUMN mf_open.expires_at IS 'as last reported by MyFatoorah, else expiry_date';
COMMENT ON COLUMN mf_open.last_try IS 'status of the customer''s latest transaction, as MyFatoorah spells it; null if there is none';

CREATE VIEW mf_hold WITH (security_barrier) AS
	SELECT i.id AS invoice, i.account, i.customer_reference, i.customer_name, i.base_value AS value, i.base_currency AS currency,
		   t.authorized_at, pg_catalog.date_part('day', pg_catalog.now() - t.authorized_at)::integer AS days_held,
		   o.kind AS operation, o.value AS operation_value, o.status AS operation_status, o.last_error, o.created_by, o.comment AS reason
	FROM mf_invoice i LEFT JOIN LATERAL (
		SELECT pg_catalog.min(coalesce(t.transaction_date, t.first_seen_at)) AS authorized_at
		FROM mf_transaction t WHERE t.invoice = i.id AND pg_catalog.lower(t.transaction_status) = 'authorize') t ON true
		LEFT JOIN LATERAL (SELECT p.* FROM mf_operation p WHERE p.invoice = i.id AND p.kind <> 'refund' ORDER BY p.id DESC LIMIT 1) o ON true
	WHERE i.payment_status = 'authorized' AND mf_invoice_visible(i.id);
COMMENT ON VIEW mf_hold IS 'authorized payments that are neither captured nor released, the oldest of which the bank may give back by itself: since when, and what was asked for';
COMMENT ON COLUMN mf_hold.days_held IS 'whole days since it was authorized';
COMMENT ON COLUMN mf_hold.operation IS 'capture or release, the latest one that was asked for; null: none';

CREATE VIEW mf_unmatched WITH (security_barrier) AS
	SELECT e.id, e.account, e.source, e.event_name, e.event_status, e.invoice_id, e.payment_id,
		   e.customer_reference, e.deliveries, e.received_at, e.last_received_at, e.data, k.id AS archived,
		   CASE WHEN (SELECT a.id FROM mf_invoice_archive a WHERE a.id = k.id AND a.created_at = k.created_at) IS NOT NULL THEN
				pg_catalog.format('To have MyFatoorah asked, and what has come in booked: SELECT mf_unarchive(ARRAY[%s])', k.id)
				WHEN k.id IS NOT NULL THEN
				pg_catalog.format('Its month was dropped or detached. If it was detached, bring its rows back into mf_invoice_archive, and the invoice from there: SELECT mf_unarchive(ARRAY[%s]). If it was dropped, look the invoice up in the MyFatoorah portal: invoice %s of account %s', k.id, k.invoice_id, k.account)
				WHEN e.invoice_id IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server s WHERE s.srvname = e.account) THEN
				pg_catalog.format('Account %1$s does not exist, so this is about no invoice of another one. If another account is the same at MyFatoorah, move it there: SELECT mf_move_account(%1$L, ''name''). Then SELECT mf_adopt(''%2$s'', ''name''), or mf_refresh() of the row that has the invoice, books it. Else look invoice %2$s up in the MyFatoorah portal', e.account, e.invoice_id)
		   END AS next_step
	FROM (SELECT u.* FROM mf_event u WHERE u.invoice IS NULL AND u.due IS NULL AND u.event_code IS DISTINCT FROM 3
		  UNION ALL
		  SELECT u.* FROM mf_event u WHERE u.invoice IS NOT NULL AND u.answered_at IS NULL
			AND NOT EXISTS (SELECT FROM mf_invoice i WHERE i.id = u.invoice)) e
		LEFT JOIN LATERAL (SELECT a.id, a.created_at, a.account, a.invoice_id FROM mf_archive_key a WHERE a.id = e.invoice
			UNION ALL
			SELECT a.id, a.created_at, a.account, a.invoice_id FROM mf_archive_key a WHERE a.account = e.account AND a.invoice_id = e.invoice_id
				AND (a.taken_over_from IS NULL OR mf_shares_numbers(NULL, a.taken_over_from, e.account))
			LIMIT 1) k ON true
	WHERE mf_invoice_visible(e.invoice);
COMMENT ON COLUMN mf_unmatched.archived IS 'id of the archived invoice that the event is about';
COMMENT ON COLUMN mf_unmatched.next_step IS 'for an archived invoice, the call that brings it back, so that MyFatoorah is asked about it; or what is to be done before, where its month is gone; where the account is gone, too';
COMMENT ON VIEW mf_unmatched IS 'events that match no row of mf_invoice: of invoices created elsewhere or archived, of suppliers, or of an invoice that exists twice';

CREATE VIEW mf_review WITH (security_barrier) AS
	SELECT i.id, i.account, i.status, i.duplicate_suspected, i.customer_name, i.invoice_value,
		   i.notification_option, i.reference, i.invoice_id, i.attempts,
		   a.started_at AS last_attempt_at, a.outcome AS last_outcome,
		   (SELECT pg_catalog.array_agg(DISTINCT t.reference) FROM mf_attempt t
			WHERE t.invoice = i.id AND (pg_catalog.regexp_replace(t.reference, '~[0-9]+$', '') = pg_catalog.regexp_replace(i.reference, '~[0-9]+$', '') OR t.started_at >= i.created_at)) AS all_references,
		   (SELECT pg_catalog.array_agg(DISTINCT t.invoice_id) FROM mf_attempt t
			WHERE t.invoice = i.id AND (pg_catalog.regexp_replace(t.reference, '~[0-9]+$', '') = pg_catalog.regexp_replace(i.reference, '~[0-9]+$', '') OR t.started_at >= i.created_at)
				AND t.invoice_id IS NOT NULL) AS answered_invoice_ids,
		   coalesce(q.operation, q.doubt, q.error, nullif(pg_catalog.concat_ws('; ', CASE WHEN i.status <> 'sent' THEN i.last_error END,
				CASE WHEN i.status = 'sent' OR i.duplicate_error <> i.last_error THEN i.duplicate_error END), '')) AS what_happened,
		   CASE WHEN q.decide IS NOT NULL THEN q.decide
				WHEN q.doubt IS NOT NULL AND i.replaced_by IS NOT NULL THEN
				pg_catalog.format('Cancel one of the two in the MyFatoorah portal, or refund what was paid twice: this one and invoice %s.%s Then: SELECT mf_resolve(%s, ''dismiss'', ''reason'')', i.replaced_by,
					(SELECT ' Of recurring payments, end the one that is too many: ' || pg_catalog.string_agg(pg_catalog.format('SELECT mf_cancel_recurring(%L, %L)', r.recurring_id, r.account), ' or ' ORDER BY r.id) || '.'
						FROM mf_invoice r WHERE r.id IN (i.id, i.replaced_by) AND r.recurring_id IS NOT NULL), i.id)
				WHEN q.doubt IS NOT NULL THEN
				coalesce((SELECT pg_catalog.format('If the MyFatoorah portal shows that dispute %1$s was %3$s: SELECT mf_resolve_dispute(%2$s, %1$L, %4$L, ''reason''). ', d.said[1], i.id,
						CASE d.said[2] WHEN 'LOST' THEN 'won' ELSE 'lost' END, CASE d.said[2] WHEN 'LOST' THEN 'RESOLVED' ELSE 'LOST' END)
					FROM pg_catalog.regexp_match(q.doubt, 'dispute (.+?) is (LOST|RESOLVED), and (?:was reported as|no chargeback is booked)') d(said) WHERE d.said IS NOT NULL), '') ||
				CASE WHEN q.doubt LIKE '%no chargeback is booked%' THEN 'What the bank has taken is still in net_value and mf_ledger. ' ELSE '' END ||
				pg_catalog.format('Compare the invoice in the MyFatoorah portal with the row. If what was paid, or given back, is right: SELECT mf_resolve(%s, ''dismiss'', ''reason''). If it is not, ask for the rest by another invoice, or settle it in the portal, and dismiss it then.', i.id)
				WHEN q.error IS NOT NULL AND q.error = i.payment_error AND q.error LIKE '% was taken over from %' THEN
				pg_catalog.format('Put base_url, country and environment of account "%s" back, or give such accounts a server of their own. If MyFatoorah has this very invoice at the new address, too: SELECT mf_adopt(''%s'', %L)', i.account, i.invoice_id, i.account)
				WHEN q.error IS NOT NULL AND q.error = i.payment_error AND i.recurring_id IS NOT NULL AND i.recurring_type IS NULL THEN
				pg_catalog.format('MyFatoorah lists it as a repetition of %s, and answers otherwise. Put base_url, environment and key back if they have changed, and ask MyFatoorah. If the answer is right then: SELECT mf_refresh(%s). If it is not of this plan, and no longer listed: DELETE FROM mf_invoice WHERE id = %s', i.recurring_id, i.id, i.id)
				WHEN q.error IS NOT NULL AND q.error = i.payment_error AND i.status = 'sent' AND i.base_value IS NULL AND (NOT EXISTS (
					SELECT FROM mf_attempt t WHERE t.invoice = i.id AND t.invoice_id = i.invoice_id)
					OR EXISTS (SELECT FROM mf_invoice_number k JOIN mf_invoice o ON o.id = k.invoice AND o.invoice_id = k.invoice_id
						WHERE k.invoice_id = i.invoice_id AND o.id <> i.id)) THEN
				pg_catalog.format('Put base_url, environment or key back if they have changed since it was sent. If the row has this InvoiceId by mistake: SELECT mf_resolve(%s, ''review'', ''reason''), and decide anew.', i.id)
				WHEN q.error IS NOT NULL AND q.error = i.payment_error THEN
				'Put base_url, environment and key of the account back to what they were when it was sent, or give such accounts a server of their own. The next good answer clears it.'
				WHEN q.error IS NOT NULL THEN
				pg_catalog.format('It is put off, and tried again at %s. Mend what the error names, such as a constraint or trigger of your own or a user mapping, and call: SELECT mf_resume(%L)', q.due, i.account)
				WHEN i.status = 'review' THEN
				pg_catalog.format('Look the references up in the MyFatoorah portal of the account that they were sent with. If an invoice is there: SELECT mf_resolve(%s, ''adopt'', ''reason'', invoice_id => NUMBER). If none is: SELECT mf_resolve(%s, %s)%s.', i.id, i.id,
					CASE WHEN i.replaced_by IS NULL THEN '''resend'', ''reason''' ELSE '''abandon'', ''reason''' END,
					CASE WHEN i.replaced_by IS NULL THEN ', or ''abandon''' ELSE '; invoice ' || i.replaced_by || ' is to be paid in its place' END)
				WHEN i.status = 'sent' AND i.base_value IS NULL AND EXISTS (
					SELECT FROM mf_invoice_number k JOIN mf_invoice o ON o.id = k.invoice AND o.invoice_id = k.invoice_id
						WHERE k.invoice_id = i.invoice_id AND o.id <> i.id) THEN
				pg_catalog.format('Tell the customer not to use the link, and look the reference up in the MyFatoorah portal. If another invoice is there: SELECT mf_resolve(%s, ''adopt'', ''reason'', invoice_id => NUMBER). If none is: SELECT mf_resolve(%s, ''review'', ''reason''), and decide anew. If it is this row''s after all: SELECT mf_resolve(%s, ''dismiss'', ''reason'')', i.id, i.id, i.id)
				ELSE pg_catalog.format('Compare the references in the MyFatoorah portal and cancel or refund there what is one too many. If the row is about the right invoice: SELECT mf_resolve(%s, ''dismiss'', ''reason''). If another was paid: SELECT mf_resolve(%s, ''adopt'', ''reason'', invoice_id => NUMBER)', i.id, i.id)
		   END AS next_step
	FROM (SELECT invoice, due, error, NULL::text AS doubt, NULL::text AS operation, NULL::text AS decide FROM mf_queue WHERE kind = 'review' OR error IS NOT NULL
		  UNION ALL
		  SELECT invoice, due, error, NULL, NULL, NULL FROM mf_inquiry WHERE error IS NOT NULL
		  UNION ALL
		  SELECT id, NULL, NULL, payment_doubt, NULL, NULL FROM mf_invoice WHERE payment_doubt IS NOT NULL
		  UNION ALL
		  SELECT o.invoice, NULL, NULL, NULL, pg_catalog.concat_ws(': ', pg_catalog.concat_ws(' ', o.kind, o.id, 'of ' || o.value, o.currency), o.last_error),
			   CASE WHEN o.kind <> 'refund' THEN pg_catalog.format('Look the payment up in the MyFatoorah portal. If it was captured or released: SELECT mf_refresh(%s). If not: SELECT mf_cancel_capture(%s, ''reason''), and call mf_capture() or mf_release() again', o.invoice, o.invoice)
			   WHEN f.refund_id IS NOT NULL THEN
				pg_catalog.format('MyFatoorah lists RefundId %s of the same amount, first seen at %s, without ExternalIdentifier. Look it up in the MyFatoorah portal, by its comment and time. If it is this one: SELECT mf_resolve_refund(%s, ''filed'', ''reason'', refund_id => %s). If it is another: SELECT mf_resolve_refund(%s, ''refused'', ''reason''), and insert a new refund if the portal has none for this one', f.refund_id, f.created_at, o.id, f.refund_id, o.id)
			   ELSE pg_catalog.format('Look the refund up in the MyFatoorah portal, by its comment, amount and ExternalIdentifier %s. If it is there: SELECT mf_resolve_refund(%s, ''filed'', ''reason'', refund_id => NUMBER). If it is not: SELECT mf_retry_refund(%s, ''reason''), or mf_resolve_refund(%s, ''refused'', ''reason'')',
				o.reference, o.id, o.id, o.id) END
		  FROM mf_operation o LEFT JOIN LATERAL (SELECT p.refund_id, p.created_at FROM mf_operation p
				WHERE p.invoice = o.invoice AND p.kind = o.kind AND p.value = o.value AND p.created_by IS NULL AND p.reference IS NULL
					AND p.created_at >= coalesce((SELECT pg_catalog.min(a.started_at) FROM mf_operation_attempt a WHERE a.operation = o.id), o.created_at)
				ORDER BY p.refund_id LIMIT 1) f ON true
		  WHERE o.status = 'review') q
		JOIN mf_invoice i ON i.id = q.invoice
		LEFT JOIN mf_attempt a ON a.invoice = i.id AND a.attempt = i.attempts
	WHERE (pg_catalog.pg_has_role('myfatoorah_read', 'USAGE') OR (pg_catalog.pg_has_role(i.created_by_id, 'USAGE')
			AND NOT EXISTS (SELECT FROM mf_all_paused p WHERE p.account IS DISTINCT FROM '*')))
		AND mf_invoice_visible(i.id);
COMMENT ON VIEW mf_review IS 'invoices that need a person: what happened, what is known, which call to make next; who is not in myfatoorah_read sees only those of their own roles';

--
-- Privileges: first revoke what default privileges may have granted
--
DO LANGUAGE plpgsql $do$
DECLARE
	granted record;
BEGIN
	FOR granted IN
		WITH member AS (
			SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
				JOIN pg_catalog.pg_extension e ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
					AND d.refobjid OPERATOR(pg_catalog.=) e.oid
			WHERE e.extname OPERATOR(pg_catalog.=) 'myfatoorah' AND d.deptype OPERATOR(pg_catalog.=) 'e'),
		object AS (
			SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::pg_catalog.regclass::text AS name,
				   c.relowner AS owner, c.relacl AS acl
			FROM member m JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) m.objid
			WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
				AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,S}')
			UNION ALL
			SELECT 'FUNCTION', p.oid::pg_catalog.regprocedure::text, p.proowner,
				   coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
			FROM member m JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) m.objid
			WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
			UNION ALL
			SELECT 'TYPE', t.oid::pg_catalog.regtype::text, t.typowner,
				   coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))
			FROM member m JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) m.objid
			WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
				AND t.typelem OPERATOR(pg_catalog.=) 0
			UNION ALL
			-- row types, which are members themselves from PostgreSQL 17 on: a table with a column of one keeps ours from being changed
			SELECT 'TYPE', t.oid::pg_catalog.regtype::text, t.typowner,
				   coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))
			FROM member m JOIN pg_catalog.pg_type t ON t.typrelid OPERATOR(pg_catalog.=) m.objid
			WHERE m.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass)
		SELECT DISTINCT o.kind, o.name,
			CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END AS grantee
		FROM object o, pg_catalog.aclexplode(o.acl) a
		WHERE a.grantee OPERATOR(pg_catalog.<>) o.owner
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s CASCADE', granted.kind, granted.name, granted.grantee);
	END LOOP;
END
$do$;

GRANT USAGE ON SCHEMA @extschema@ TO myfatoorah_worker, myfatoorah_submit, myfatoorah_read, myfatoorah_refund,
	myfatoorah_operate, myfatoorah_inbound;

-- The worker's role has no right to a table: statements of the library have their owner's (see src/database/sql.c). A default
-- of mf_queue calls the second function, and they call the third; the launcher finds by the first grant which databases have the extension.
GRANT EXECUTE ON FUNCTION mf_here() TO myfatoorah_worker, myfatoorah_read, myfatoorah_submit;
GRANT EXECUTE ON FUNCTION mf_origin() TO myfatoorah_worker;
-- views call them as whoever reads them
GRANT EXECUTE ON FUNCTION mf_shares_numbers, mf_shares_webhooks TO myfatoorah_worker, myfatoorah_read;

GRANT SELECT ON mf_invoice, mf_invoice_all, mf_number, mf_open, mf_hold, mf_transaction, mf_history, mf_ledger, mf_dispute, mf_refund, mf_review, mf_worker_status, mf_listener_status, mf_reaction, mf_reaction_backlog, mf_route TO myfatoorah_submit;
GRANT INSERT (account, customer_name, invoice_value, notification_option, customer_email, customer_mobile,
	mobile_country_code, display_currency_iso, language, customer_reference, customer_civil_id, user_defined_field,
	call_back_url, error_url, webhook_url, expiry_date, customer_address, invoice_items, shipping_method,
	shipping_consignee, suppliers, processing_details, invoice_payment_methods, source_info, payment_method_id, recurring_type,
	interval_days, iteration, retry_count, send_at, priority, idempotency_key, callbacks, metadata, created_at)
	ON mf_invoice TO myfatoorah_submit;
GRANT UPDATE (account, customer_name, invoice_value, notification_option, customer_email, customer_mobile,
	mobile_country_code, display_currency_iso, language, customer_reference, customer_civil_id, user_defined_field,
	call_back_url, error_url, webhook_url, expiry_date, customer_address, invoice_items, shipping_method,
	shipping_consignee, suppliers, processing_details, invoice_payment_methods, source_info, payment_method_id, recurring_type,
	interval_days, iteration, retry_count, send_at, priority, idempotency_key, callbacks, metadata)
	ON mf_invoice TO myfatoorah_submit, myfatoorah_operate;
GRANT USAGE ON TYPE mf_send_payment_result, mf_execute_payment_result TO myfatoorah_submit;
-- parameters of functions for mf_on_change()
GRANT USAGE ON TYPE mf_invoice TO myfatoorah_submit, myfatoorah_read;
GRANT USAGE ON TYPE mf_response TO myfatoorah_operate;
GRANT EXECUTE ON FUNCTION mf_account_facts, mf_enqueue(), mf_validate(mf_invoice), mf_key_taken, mf_send_payment, mf_execute_payment, mf_adopt, mf_payment_status, mf_payment_transactions, mf_payment_methods, mf_exchange_rates, mf_check, mf_cancel(bigint, text), mf_cancel(text, text), mf_cancel(bigint[], text),
	mf_retry(bigint, text), mf_retry(text, text), mf_retry(bigint[], text), mf_refresh(bigint), mf_refresh(text), mf_refresh(bigint[]),
	mf_wait, mf_worker_stat(), mf_listener_stat(), mf_invoice_visible, mf_on_change, mf_on_time, mf_call_at, mf_off_change TO myfatoorah_submit;

GRANT SELECT ON mf_invoice, mf_invoice_all, mf_number, mf_open, mf_hold, mf_queue, mf_attempt, mf_api_proof, mf_history, mf_account, mf_identity, mf_home, mf_all_paused, mf_worker_status, mf_listener_status, mf_backlog, mf_review,
	mf_inquiry, mf_transaction, mf_ledger, mf_dispute, mf_refund, mf_operation, mf_operation_attempt, mf_event, mf_payment_backlog, mf_unmatched, mf_reaction, mf_reaction_backlog, mf_route, mf_addition,
	mf_deposit, mf_deposit_item, mf_undeposited, mf_deposit_difference
	TO myfatoorah_read;
GRANT EXECUTE ON FUNCTION mf_account_facts, mf_check, mf_worker_stat(), mf_listener_stat(), mf_wait, mf_invoice_visible, mf_on_change, mf_on_time, mf_call_at, mf_off_change TO myfatoorah_read;

-- A right of its own: who may only submit invoices may not give money back.
GRANT SELECT ON mf_refund, mf_hold TO myfatoorah_refund;
-- so that policies of mf_invoice can be asked which rows it sees
GRANT SELECT (id) ON mf_invoice TO myfatoorah_refund;
GRANT INSERT (invoice, value, payment_id, charge_on_customer, comment, suppliers, idempotency_key) ON mf_refund TO myfatoorah_refund;
GRANT EXECUTE ON FUNCTION mf_invoice_visible, mf_cancel_refund, mf_retry_refund, mf_resolve_refund, mf_capture, mf_release, mf_cancel_capture TO myfatoorah_refund;
GRANT EXECUTE ON FUNCTION mf_refundable TO myfatoorah_submit, myfatoorah_read, myfatoorah_refund;

-- What monitoring reads has numbers and names of accounts, and no invoice.
GRANT USAGE ON SCHEMA @extschema@ TO pg_monitor;
GRANT SELECT ON mf_metrics_backlog, mf_metrics_attention, mf_progress TO myfatoorah_read, pg_monitor;
GRANT EXECUTE ON FUNCTION mf_metrics(), mf_request_times(), mf_progress_stat() TO myfatoorah_read, pg_monitor;

GRANT myfatoorah_read, myfatoorah_refund TO myfatoorah_operate;
GRANT EXECUTE ON FUNCTION mf_on_request, mf_off_request, mf_probe_idempotency, mf_read_deposit, mf_suppliers, mf_recurring, mf_cancel_recurring, mf_resume_recurring, mf_replace, mf_pause, mf_resume, mf_drain, mf_resolve, mf_resolve_dispute, mf_repair, mf_move_account, mf_forget, mf_archive, mf_unarchive, mf_cancel(bigint, text), mf_cancel(text, text), mf_cancel(bigint[], text),
	mf_retry(bigint, text), mf_retry(text, text), mf_retry(bigint[], text), mf_refresh(bigint), mf_refresh(text), mf_refresh(bigint[]) TO myfatoorah_operate;
GRANT EXECUTE ON FUNCTION mf_webhook, mf_callback TO myfatoorah_inbound;

-- What the tables of the extension consist of; anything else was added by users.
INSERT INTO mf_part (kind, relation, name) SELECT a.kind, a.relation, a.name FROM mf_addition a;

--
-- Dumps: mf_queue, mf_inquiry and mf_invoice_number are not dumped, because
-- restoring mf_invoice fills them again and pauses everything until a person has made sure that the
-- original is gone.
--
SELECT pg_catalog.pg_extension_config_dump('mf_invoice', '');
SELECT pg_catalog.pg_extension_config_dump('mf_invoice_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_archive_key', '');
SELECT pg_catalog.pg_extension_config_dump('mf_attempt', '');
SELECT pg_catalog.pg_extension_config_dump('mf_transition', '');
SELECT pg_catalog.pg_extension_config_dump('mf_transition_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_transaction', '');
SELECT pg_catalog.pg_extension_config_dump('mf_money', '');
SELECT pg_catalog.pg_extension_config_dump('mf_money_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_dispute_state', '');
SELECT pg_catalog.pg_extension_config_dump('mf_operation', '');
SELECT pg_catalog.pg_extension_config_dump('mf_operation_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_operation_attempt', '');
SELECT pg_catalog.pg_extension_config_dump('mf_event', '');
SELECT pg_catalog.pg_extension_config_dump('mf_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_deposit_state', '');
SELECT pg_catalog.pg_extension_config_dump('mf_deposit_state_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_deposit_row', '');
SELECT pg_catalog.pg_extension_config_dump('mf_reaction', 'WHERE extension IS NULL');
SELECT pg_catalog.pg_extension_config_dump('mf_route', 'WHERE extension IS NULL');
SELECT pg_catalog.pg_extension_config_dump('mf_reaction_queue', '');
SELECT pg_catalog.pg_extension_config_dump('mf_reaction_queue_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_home', '');
SELECT pg_catalog.pg_extension_config_dump('mf_account', $$WHERE account <> '*'$$);
