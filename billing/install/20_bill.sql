--
-- Bills
--
CREATE TABLE mf_bill (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	account text NOT NULL DEFAULT 'myfatoorah',
	bill_key text COLLATE "C",
	customer_name text NOT NULL,
	customer_email text,
	customer_mobile text,
	mobile_country_code text,
	language text,
	customer_reference text,
	customer_civil_id text,
	total numeric NOT NULL,
	currency text COLLATE "C",
	lines jsonb,
	due_date date NOT NULL,
	notification_option text NOT NULL DEFAULT 'LNK',
	send_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	link_days integer,
	memo text,
	metadata jsonb,
	token text COLLATE "C" NOT NULL,
	status text COLLATE "C" NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'void')),
	received numeric NOT NULL DEFAULT 0,
	balance numeric GENERATED ALWAYS AS (total - received) STORED,
	overpaid numeric GENERATED ALWAYS AS (greatest(received - CASE status WHEN 'void' THEN 0 ELSE total END, 0)) STORED,
	invoice bigint,
	paid_on date,
	closed_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	created_by name COLLATE "C" NOT NULL DEFAULT CURRENT_USER,
	updated_at timestamptz,
	updated_by name COLLATE "C",
	created_by_id oid NOT NULL DEFAULT 0,
	request_value numeric,
	link_option text COLLATE "C",
	link_due timestamptz,
	link_tries integer NOT NULL DEFAULT 0,
	link_error text,
	snoozed_until date,
	erased_at timestamptz,
	link_ahead timestamptz,
	CHECK ((status = 'paid') = (paid_on IS NOT NULL)),
	CHECK ((status = 'open') = (closed_at IS NULL)),
	CHECK (status = 'open' OR invoice IS NULL)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- Not partial, so that a plain ON CONFLICT (account, bill_key) finds it.
CREATE UNIQUE INDEX mf_bill_key_idx ON mf_bill (bill_key, account COLLATE "C");
CREATE UNIQUE INDEX mf_bill_token_idx ON mf_bill (token);
CREATE INDEX mf_bill_link_due_idx ON mf_bill (link_due, id) WHERE link_due IS NOT NULL;
CREATE INDEX mf_bill_link_ahead_idx ON mf_bill (link_ahead) WHERE link_ahead IS NOT NULL;
CREATE INDEX mf_bill_open_idx ON mf_bill (account COLLATE "C", due_date, id) WHERE status = 'open';
CREATE INDEX mf_bill_overpaid_idx ON mf_bill (id) WHERE overpaid > 0;
CREATE INDEX mf_bill_link_error_idx ON mf_bill (account COLLATE "C", id) WHERE link_error IS NOT NULL;
-- mf_aging reads it alone, in its order: by customer, so that neither memory for all of them nor a sort is needed
CREATE INDEX mf_bill_aging_idx ON mf_bill (account COLLATE "C", currency, (coalesce(customer_reference, customer_name)) COLLATE "C")
	INCLUDE (id, customer_reference, customer_name, balance, due_date) WHERE status = 'open';
CREATE INDEX mf_bill_customer_reference_idx ON mf_bill (customer_reference) WHERE customer_reference IS NOT NULL;

COMMENT ON TABLE mf_bill IS 'insert a row, and it is a debt that is paid by links, in cash, or in parts';
COMMENT ON COLUMN mf_bill.id IS 'our number of the bill';
COMMENT ON COLUMN mf_bill.account IS 'the foreign server of the wrapper myfatoorah that makes its links';
COMMENT ON COLUMN mf_bill.bill_key IS 'your own key, unique within the account: a month that is run twice bills once';
COMMENT ON COLUMN mf_bill.customer_name IS 'as mf_invoice.customer_name';
COMMENT ON COLUMN mf_bill.customer_email IS 'as mf_invoice.customer_email, needed for EML and ALL';
COMMENT ON COLUMN mf_bill.customer_mobile IS 'as mf_invoice.customer_mobile, needed for SMS and ALL';
COMMENT ON COLUMN mf_bill.mobile_country_code IS 'as mf_invoice.mobile_country_code';
COMMENT ON COLUMN mf_bill.language IS 'EN or AR, of links and of the bill''s page';
COMMENT ON COLUMN mf_bill.customer_reference IS 'your own reference of the customer or contract, by which statements add up';
COMMENT ON COLUMN mf_bill.customer_civil_id IS 'as mf_invoice.customer_civil_id';
COMMENT ON COLUMN mf_bill.total IS 'what is owed, at least 0, with the decimals of the currency';
COMMENT ON COLUMN mf_bill.currency IS 'ISO 4217; the account''s own if null';
COMMENT ON COLUMN mf_bill.lines IS 'array of objects with description, quantity, unit_price and tax_rate (percent); must add up to total';
COMMENT ON COLUMN mf_bill.due_date IS 'civil day of the account; today there if null';
COMMENT ON COLUMN mf_bill.notification_option IS 'of the first link: LNK link only, EML e-mail, SMS text message, ALL all three';
COMMENT ON COLUMN mf_bill.send_at IS 'the first link is not sent before this time';
COMMENT ON COLUMN mf_bill.link_days IS 'days that a link can be paid; null: as mf_billing_policy says';
COMMENT ON COLUMN mf_bill.memo IS 'your own text';
COMMENT ON COLUMN mf_bill.metadata IS 'your own data; may change at any time';
COMMENT ON COLUMN mf_bill.token IS 'result: the bill''s address behind /pay/, which nobody can guess';
COMMENT ON COLUMN mf_bill.status IS 'result: open, paid or void; overdue is a date, not a status';
COMMENT ON COLUMN mf_bill.received IS 'result: receipts less reversals and refunds';
COMMENT ON COLUMN mf_bill.balance IS 'result: total less received';
COMMENT ON COLUMN mf_bill.overpaid IS 'result: what was received beyond the total, or for a void bill; see mf_overpaid';
COMMENT ON COLUMN mf_bill.invoice IS 'result: mf_invoice.id of the live link, at most one';
COMMENT ON COLUMN mf_bill.paid_on IS 'result: day of the receipt by which it was paid';
COMMENT ON COLUMN mf_bill.closed_at IS 'result: when it became paid or void';
COMMENT ON COLUMN mf_bill.created_at IS 'result: when the row was inserted';
COMMENT ON COLUMN mf_bill.created_by IS 'result: name, at that time, of the role that inserted the row; mf_repair() writes its present one';
COMMENT ON COLUMN mf_bill.updated_at IS 'result: when what you write was last changed';
COMMENT ON COLUMN mf_bill.updated_by IS 'result: by which role';
COMMENT ON COLUMN mf_bill.created_by_id IS 'result: OID of the role that inserted the row: its members may change it, and links are made as that role';
COMMENT ON COLUMN mf_bill.request_value IS 'result: the part that mf_request() asks for by the next link; null: all of the balance';
COMMENT ON COLUMN mf_bill.link_option IS 'result: how the next link goes, if it is not a link only; a reminder asks for that';
COMMENT ON COLUMN mf_bill.link_due IS 'result: when the link is looked at next; null: not before something changes';
COMMENT ON COLUMN mf_bill.link_tries IS 'result: looks in a row that had to wait, or failed';
COMMENT ON COLUMN mf_bill.link_error IS 'result: why there is no link; null if nothing is wrong';
COMMENT ON COLUMN mf_bill.snoozed_until IS 'result: no reminder before this day; see mf_snooze()';
COMMENT ON COLUMN mf_bill.erased_at IS 'result: when the customer''s name, address and numbers were erased; null if they were not';
COMMENT ON COLUMN mf_bill.link_ahead IS 'result: by what time its link was looked at; a tick with an earlier time, after a trial or while the clock was ahead, looks again';

-- All links that a bill ever had.  The index finds them, and makes two live ones of a bill impossible: of its live one
-- it has 0, of each other one that link's number.
CREATE TABLE mf_link (
	invoice bigint PRIMARY KEY,
	bill bigint NOT NULL,
	live boolean NOT NULL,
	value numeric NOT NULL,
	made_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	asked_at timestamptz,
	asked_for timestamptz,
	retired_at timestamptz,
	retired_why text,
	CHECK (live = (retired_at IS NULL)),
	CHECK (retired_at >= made_at)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX mf_link_bill_idx ON mf_link (bill, (CASE WHEN live THEN 0 ELSE invoice END));

COMMENT ON TABLE mf_link IS 'all links that a bill ever had; at most one is live';
COMMENT ON COLUMN mf_link.bill IS 'mf_bill.id; without a foreign key, because only functions of ours write here, and bills are not deleted';
COMMENT ON COLUMN mf_link.invoice IS 'mf_invoice.id';
COMMENT ON COLUMN mf_link.live IS 'it is the one to pay; false: it is retired, and watched until it cannot be paid any more';
COMMENT ON COLUMN mf_link.value IS 'what it asks for, in the currency of the bill';
COMMENT ON COLUMN mf_link.expires_at IS 'it is replaced then';
COMMENT ON COLUMN mf_link.asked_at IS 'when MyFatoorah was last asked whether it was paid, by us';
COMMENT ON COLUMN mf_link.asked_for IS 'as of which time that was; another one only if mf_billing_tick() was given a time ahead';

CREATE TABLE mf_bill_history (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	bill bigint NOT NULL,
	changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	actor text NOT NULL,
	changes jsonb NOT NULL,
	reason text
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

CREATE INDEX mf_bill_history_bill_idx ON mf_bill_history (bill);

COMMENT ON TABLE mf_bill_history IS 'every change of a bill, append-only';
COMMENT ON COLUMN mf_bill_history.actor IS 'the role that has caused it';
COMMENT ON COLUMN mf_bill_history.changes IS 'old and new value of each column that has changed';

CREATE FUNCTION mf_bill_transition_allowed(from_status text, to_status text)
RETURNS boolean
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT (from_status, to_status) IN (('open', 'paid'), ('paid', 'open'), ('open', 'void'), ('void', 'open'), ('void', 'paid')) $$;
COMMENT ON FUNCTION mf_bill_transition_allowed(text, text) IS 'the state machine of mf_bill.status';

-- Raises an error unless the amount is one of the currency.
CREATE FUNCTION mf_check_amount(field text, value numeric, currency text, minimum text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF value IS NULL THEN
		RAISE EXCEPTION '% must not be null', field USING ERRCODE = 'null_value_not_allowed', COLUMN = field;
	ELSIF value::text IN ('NaN', 'Infinity', '-Infinity') THEN
		RAISE EXCEPTION '% must be a finite number', field USING ERRCODE = 'invalid_parameter_value', COLUMN = field,
			DETAIL = format('It is %s.', value);
	ELSIF value < 0 OR (minimum = 'above 0' AND value = 0) THEN
		RAISE EXCEPTION '% must be %', field, CASE minimum WHEN 'above 0' THEN 'greater than zero' ELSE 'zero or more' END
			USING ERRCODE = 'invalid_parameter_value', COLUMN = field, DETAIL = format('It is %s.', value),
			HINT = 'Give the amount in the major unit of the currency, such as 12.500.';
	ELSIF value <> round(value, @extschema@.mf_currency_decimals(currency)) THEN
		RAISE EXCEPTION '% has more than % decimals', field, @extschema@.mf_currency_decimals(currency)
			USING ERRCODE = 'invalid_parameter_value', COLUMN = field,
			DETAIL = format('It is %s, and the currency is %s.', value, currency), HINT = 'Round it first.';
	ELSIF value >= 1e12 THEN
		RAISE EXCEPTION '% is too large', field USING ERRCODE = 'invalid_parameter_value', COLUMN = field,
			DETAIL = format('It is %s; the limit is 999999999999.', value);
	END IF;
END
$$;
COMMENT ON FUNCTION mf_check_amount(text, numeric, text, text) IS 'raises an error that names the field unless the amount fits the currency';

-- Raises an error unless the day is one that all of us can print, send and compute with.
CREATE FUNCTION mf_check_day(field text, day date)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF day NOT BETWEEN '1970-01-01' AND '9999-12-31' THEN
		RAISE EXCEPTION '% is out of range', field USING ERRCODE = 'datetime_field_overflow', COLUMN = field,
			DETAIL = format('It is %s.', day), HINT = 'Give a day from 1970 to 9999.';
	END IF;
END
$$;
COMMENT ON FUNCTION mf_check_day(text, date) IS 'raises an error that names the field unless a day is from 1970 to 9999; null is none';

-- The sum of lines, each rounded to the decimals of the currency.
CREATE FUNCTION mf_lines_sum(lines jsonb, currency text)
RETURNS numeric
LANGUAGE plpgsql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	line jsonb;
	part numeric;
	total numeric := 0;
	n integer := 0;
BEGIN
	IF jsonb_typeof(lines) <> 'array' THEN
		RAISE EXCEPTION 'lines must be an array of objects' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'lines',
			HINT = 'Give such as [{"description": "Rent", "quantity": 1, "unit_price": 250.000, "tax_rate": 5}].';
	END IF;
	FOR line IN SELECT * FROM jsonb_array_elements(lines) LOOP
		n := n + 1;
		IF jsonb_typeof(line) <> 'object' OR jsonb_typeof(line->'unit_price') IS DISTINCT FROM 'number'
			OR jsonb_typeof(coalesce(line->'quantity', '1')) <> 'number' OR jsonb_typeof(coalesce(line->'tax_rate', '0')) <> 'number' THEN
			RAISE EXCEPTION 'lines[%] is no line of a bill', n USING ERRCODE = 'invalid_parameter_value', COLUMN = 'lines',
				DETAIL = 'It must have the number unit_price, and may have the numbers quantity (1) and tax_rate (0, percent), and description.';
		END IF;
		part := (line->>'unit_price')::numeric * coalesce((line->>'quantity')::numeric, 1) * (1 + coalesce((line->>'tax_rate')::numeric, 0) / 100);
		total := total + round(part, @extschema@.mf_currency_decimals(currency));
	END LOOP;
	RETURN total;
END
$$;
COMMENT ON FUNCTION mf_lines_sum(jsonb, text) IS 'the total of mf_bill.lines: each line is quantity times unit_price plus tax, rounded to the decimals of the currency';

--
-- New bills: what only we write, and what follows from the account
--
CREATE FUNCTION mf_bill_facts(account text, OUT currency text, OUT time_zone text, OUT link_days integer, OUT numbers oid)
RETURNS record
LANGUAGE plpgsql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT f.currency, f.time_zone, coalesce((SELECT p.link_days FROM @extschema@.mf_billing_policy p WHERE p.account = mf_bill_facts.account), 7),
		pg_get_serial_sequence('@extschema@.mf_invoice', 'id')::regclass
		INTO currency, time_zone, link_days, numbers FROM @extschema@.mf_account_facts(mf_bill_facts.account) f;
END
$$;
COMMENT ON FUNCTION mf_bill_facts(text) IS 'what a new bill takes from its account; called by mf_bill_fill() once for a statement';

CREATE FUNCTION mf_bill_fill()
RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_bill_fill() IS 'gives new bills a token and all that only myfatoorah_billing writes, and what was left out';

--
-- Guard: checks what people write, and lets nobody else write results
--
CREATE FUNCTION mf_bill_guard()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
		RAISE EXCEPTION 'bills are not deleted' USING ERRCODE = 'insufficient_privilege',
			HINT = 'Call mf_void(bill, reason): a debt that was once sent stays in the books.';
	END IF;

	IF TG_OP = 'UPDATE' THEN
		IF NEW.status <> OLD.status AND NOT @extschema@.mf_bill_transition_allowed(OLD.status, NEW.status) THEN
			RAISE EXCEPTION 'bill % cannot change from "%" to "%"', OLD.id, OLD.status, NEW.status USING ERRCODE = 'object_not_in_prerequisite_state';
		END IF;
		IF @extschema@.mf_ours() THEN
			RETURN NEW;
		END IF;
		PERFORM @extschema@.mf_check_right('bill'::text, OLD.id, OLD.created_by_id, current_user);
		IF (NEW.id, NEW.account, NEW.bill_key, NEW.currency, NEW.token, NEW.status, NEW.received, NEW.invoice, NEW.paid_on, NEW.closed_at,
			NEW.created_at, NEW.created_by, NEW.created_by_id, NEW.updated_at, NEW.updated_by, NEW.request_value, NEW.link_option, NEW.link_due, NEW.link_tries, NEW.link_error, NEW.link_ahead, NEW.snoozed_until)
			IS DISTINCT FROM
			(OLD.id, OLD.account, OLD.bill_key, OLD.currency, OLD.token, OLD.status, OLD.received, OLD.invoice, OLD.paid_on, OLD.closed_at,
			OLD.created_at, OLD.created_by, OLD.created_by_id, OLD.updated_at, OLD.updated_by, OLD.request_value, OLD.link_option, OLD.link_due, OLD.link_tries, OLD.link_error, OLD.link_ahead, OLD.snoozed_until) THEN
			RAISE EXCEPTION 'account, bill_key, currency and results of bill % cannot be changed', OLD.id USING ERRCODE = 'insufficient_privilege',
				HINT = 'Results are written by myfatoorah_billing. To control a bill, use mf_void(), mf_reopen(), mf_new_link() and mf_request(); insert receipts into mf_receipt.';
		END IF;
		IF OLD.status <> 'open' AND (to_jsonb(NEW) - '{memo,metadata,balance,overpaid}'::text[]) IS DISTINCT FROM (to_jsonb(OLD) - '{memo,metadata,balance,overpaid}'::text[]) THEN
			RAISE EXCEPTION 'bill % is % and cannot be changed', OLD.id, OLD.status USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = CASE OLD.status WHEN 'void' THEN 'Call mf_reopen(bill, reason) first.' ELSE 'Insert another bill, or reverse its receipts.' END;
		END IF;
		NEW.updated_at := now();
		NEW.updated_by := current_user;
	END IF;

	IF NEW.total IS NULL OR NOT (NEW.total >= 0 AND NEW.total < 1e12 AND NEW.total = round(NEW.total, @extschema@.mf_currency_decimals(NEW.currency))) THEN
		PERFORM @extschema@.mf_check_amount('total'::text, NEW.total, NEW.currency, 'at least 0'::text);
	END IF;
	IF NEW.lines IS NOT NULL AND @extschema@.mf_lines_sum(NEW.lines, NEW.currency) <> NEW.total THEN
		RAISE EXCEPTION 'lines do not add up to total' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'lines',
			DETAIL = format('They are %s, and total is %s.', @extschema@.mf_lines_sum(NEW.lines, NEW.currency), NEW.total),
			HINT = 'Each line is quantity times unit_price plus tax_rate percent, rounded to the decimals of the currency.';
	END IF;
	IF NEW.link_days NOT BETWEEN 1 AND 365 THEN
		RAISE EXCEPTION 'link_days must be from 1 to 365' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'link_days',
			DETAIL = format('It is %s.', NEW.link_days);
	END IF;
	IF NEW.due_date NOT BETWEEN '1970-01-01' AND '9999-12-31' THEN
		PERFORM @extschema@.mf_check_day('due_date'::text, NEW.due_date);
	END IF;
	IF NEW.send_at NOT BETWEEN '1970-01-01 00:00+00' AND '9998-01-01 00:00+00' THEN
		RAISE EXCEPTION 'send_at is out of range' USING ERRCODE = 'datetime_field_overflow', COLUMN = 'send_at',
			DETAIL = format('It is %s.', NEW.send_at), HINT = 'Give a time from 1970 to 9997: its link lives a year at most after that.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION mf_bill_guard() IS 'checks what people write into bills, and refuses changes of results by any but myfatoorah_billing';

CREATE FUNCTION mf_check_right(kind text, id bigint, creator oid, role name)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF @extschema@.mf_operates(role) THEN
		RETURN;
	ELSIF EXISTS (SELECT FROM @extschema@.mf_all_paused p WHERE p.account IS DISTINCT FROM '*') THEN
		RAISE EXCEPTION 'permission denied for % %', kind, id USING ERRCODE = 'insufficient_privilege',
			DETAIL = 'It may be another database''s, and roles are not told apart before mf_resume(''*'').', HINT = 'Until then only members of "myfatoorah_operate" may change it.';
	ELSIF NOT coalesce(pg_has_role(role, creator, 'USAGE'), false) THEN
		RAISE EXCEPTION 'permission denied for % %', kind, id USING ERRCODE = 'insufficient_privilege',
			DETAIL = 'Another role has inserted it.', HINT = 'Only members of that role or of "myfatoorah_operate" may change it.';
	END IF;
END
$$;
COMMENT ON FUNCTION mf_check_right(text, bigint, oid, name) IS 'raises an error unless a role may change a bill or plan of that other role';

-- Views belong to us, and policies do not hide rows from us: so each view about bills asks this.  Where there are no policies it is mostly not called, and no
-- plan should be chosen for its cost.
CREATE FUNCTION mf_bill_visible(bill bigint)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN NOT row_security_active('@extschema@.mf_bill') OR EXISTS (SELECT FROM @extschema@.mf_bill b WHERE b.id = mf_bill_visible.bill);
END
$$;
COMMENT ON FUNCTION mf_bill_visible(bigint) IS 'whether row-level security lets the current role see that row of mf_bill';

--
-- After changes: links, history, notifications
--
CREATE FUNCTION mf_bill_notify(bill bigint)
RETURNS void
LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_notify('mf_bill', '{"bill": ' || bill || '}') $$;
COMMENT ON FUNCTION mf_bill_notify(bigint) IS 'notifies at commit that a bill or what belongs to it has changed';

-- What MyFatoorah's page shows as items: whole quantities at a price of the currency as they are, others in one piece.  Where
-- MyFatoorah would not take one of the lines, or a line has no name, there are none.
CREATE FUNCTION mf_bill_items(lines jsonb, currency text)
RETURNS jsonb
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN count(*) <= 200 AND sum(octet_length(l.name)) <= 8000 AND bool_and(l.name <> '' AND l.value >= 0) THEN jsonb_agg(
		CASE WHEN l.tax_rate = 0 AND l.quantity BETWEEN 1 AND 1e6 AND l.quantity = trunc(l.quantity) AND l.unit_price = round(l.unit_price, l.decimals)
			THEN jsonb_build_object('ItemName', l.name, 'Quantity', l.quantity, 'UnitPrice', l.unit_price)
			ELSE jsonb_build_object('ItemName', concat(l.name, ' x ' || trim_scale(nullif(l.quantity, 1)), ' + ' || trim_scale(nullif(l.tax_rate, 0)) || '%'), 'Quantity', 1, 'UnitPrice', l.value) END ORDER BY l.n) END
	FROM (SELECT e.n, p.*, btrim(e.line->>'description') AS name, d.decimals, round(p.unit_price * p.quantity * (1 + p.tax_rate / 100), d.decimals) AS value
		FROM jsonb_array_elements(mf_bill_items.lines) WITH ORDINALITY e(line, n),
			LATERAL (SELECT @extschema@.mf_currency_decimals(mf_bill_items.currency) AS decimals) d,
			LATERAL (SELECT (e.line->>'unit_price')::numeric AS unit_price, coalesce((e.line->>'quantity')::numeric, 1) AS quantity, coalesce((e.line->>'tax_rate')::numeric, 0) AS tax_rate) p) l
$$;
COMMENT ON FUNCTION mf_bill_items(jsonb, text) IS 'the lines of a bill as InvoiceItems, which add up to its total; null if MyFatoorah would not take them';

-- Where a customer comes back to, by way of the listener's callback, which asks MyFatoorah first
-- not STRICT, so that it is expanded in place
CREATE FUNCTION mf_bill_address(token text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.rtrim(nullif(pg_catalog.current_setting('myfatoorah.public_url', true), ''), '/') || '/pay/' || token;
COMMENT ON FUNCTION mf_bill_address(text) IS 'the address of the bill with that token; null if myfatoorah.public_url is not set';

-- The row of mf_invoice that asks for a value of a bill
CREATE FUNCTION mf_bill_invoice(b mf_bill, base_currency text, value numeric, notification_option text, send_at timestamptz, expires_at timestamptz, address text)
RETURNS mf_invoice
LANGUAGE sql STABLE PARALLEL SAFE
RETURN mf_new_invoice(account => (b).account, customer_name => (b).customer_name, customer_email => (b).customer_email,
	customer_mobile => (b).customer_mobile, mobile_country_code => (b).mobile_country_code, language => (b).language,
	customer_reference => (b).customer_reference, customer_civil_id => (b).customer_civil_id, invoice_value => value,
	display_currency_iso => nullif((b).currency, base_currency), notification_option => notification_option, send_at => send_at,
	expiry_date => expires_at, metadata => pg_catalog.jsonb_build_object('bill', (b).id),
	invoice_items => CASE WHEN (b).lines IS NOT NULL AND value = (b).total THEN mf_bill_items((b).lines, (b).currency) END,
	call_back_url => address || (b).token, error_url => address || (b).token);
COMMENT ON FUNCTION mf_bill_invoice(mf_bill, text, numeric, text, timestamptz, timestamptz, text) IS 'the invoice that asks for a value of a bill; the address is that of mf_bill_address() without a token';

-- An error about an invoice, in the names of the bill's fields
CREATE FUNCTION mf_bill_words(message text)
RETURNS text
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT replace(replace(replace(replace(message, 'invoice_value', 'total'), 'display_currency_iso', 'currency'), 'expiry_date', 'link_days'), 'invoice_items', 'lines') $$;
COMMENT ON FUNCTION mf_bill_words(text) IS 'a message about an invoice, with the names of the bill''s fields';

CREATE FUNCTION mf_bill_denied(message text, role oid)
RETURNS text
LANGUAGE sql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT format('%s (role %s, whose bill it is)', message, mf_bill_denied.role::regrole) $$;
COMMENT ON FUNCTION mf_bill_denied(text, oid) IS 'an error about a right, with the role that lacks it: bills are made for roles that do not look on';

-- Its plans are made for many new rows and a large table, whatever the table was like before.
CREATE FUNCTION mf_bill_inserted()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
	part record;
	facts record;
	made record;
	restored boolean := false;
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	-- new ones are told from those of a dump by their time (see mf_bill_fill())
	FOR part IN SELECT n.account, n.created_by_id AS role, bool_or(n.created_at <> now()) AS restored, bool_or(n.created_at = now() AND n.invoice IS NOT NULL) AS asks,
			array_agg(n.id) FILTER (WHERE n.created_at = now()) AS bills
		FROM new_bills n GROUP BY n.account, n.created_by_id ORDER BY 1, 2
	LOOP
		restored := restored OR part.restored;
		PERFORM pg_notify('mf_bill', '{"bill": ' || n || '}') FROM unnest(part.bills) n;
		CONTINUE WHEN NOT part.asks;
		-- one INSERT for the bills of a role and an account; nobody can have paid yet, so the links are over the totals
		SELECT f.currency, @extschema@.mf_bill_address(''::text) AS address INTO facts FROM @extschema@.mf_account_facts(part.account) f;
		SELECT array_agg(b.id) AS bills, array_agg(b.total) AS totals, array_agg(b.link_due) AS ends, array_agg(b.invoice) AS numbers,
				array_agg(@extschema@.mf_bill_invoice(ROW(b.*)::@extschema@.mf_bill, facts.currency, b.total, b.notification_option, b.send_at, b.link_due, facts.address)) AS invoices INTO made
			FROM new_bills b WHERE b.account = part.account AND b.created_by_id = part.role AND b.created_at = now() AND b.invoice IS NOT NULL;
		BEGIN
			PERFORM @extschema@.mf_insert_as(part.role, made.invoices, NULL::bigint[], made.numbers);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			IF state = '42501' THEN
				RAISE EXCEPTION USING ERRCODE = state, MESSAGE = @extschema@.mf_bill_denied(message, part.role),
					DETAIL = coalesce(nullif(detail, ''), 'Links are made with the rights of the role that inserts the bill or the plan.'),
					HINT = coalesce(nullif(hint, ''), format('GRANT myfatoorah_submit TO %1$s; GRANT USAGE ON FOREIGN SERVER %2$I TO %1$s', part.role::regrole, part.account));
			ELSIF @extschema@.mf_bill_words(message || detail || hint) = message || detail || hint THEN
				RAISE;
			END IF;
			RAISE EXCEPTION USING ERRCODE = state, MESSAGE = @extschema@.mf_bill_words(message),
				DETAIL = coalesce(nullif(@extschema@.mf_bill_words(detail), ''), 'The link of the bill cannot be made.'),
				HINT = coalesce(nullif(@extschema@.mf_bill_words(hint), ''), 'Correct the bill.');
		END;
		INSERT INTO @extschema@.mf_link (invoice, bill, live, value, made_at, expires_at)
			SELECT u.invoice, u.bill, true, u.total, now(), u.ends FROM unnest(made.numbers, made.bills, made.totals, made.ends) u(invoice, bill, total, ends);
		PERFORM @extschema@.mf_billing_wake((SELECT min(e) FROM unnest(made.ends) e));
	END LOOP;
	-- those of a dump: nothing is made of them before somebody has said that this is no copy, whatever else is not restored yet
	IF restored THEN
		PERFORM @extschema@.mf_pause('*'::text, 'bills were restored; the server they come from must not send invoices for them any more'::text);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_bill_inserted() IS 'makes the first links of new bills, in the same transaction';

CREATE FUNCTION mf_bill_changed()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changes constant jsonb := @extschema@.mf_row_changes(to_jsonb(OLD), to_jsonb(NEW) - '{updated_at,updated_by,balance,overpaid,link_due,link_tries,link_ahead}'::text[]);
BEGIN
	IF changes IS NULL THEN
		RETURN NULL;
	END IF;
	INSERT INTO @extschema@.mf_bill_history (bill, actor, changes, reason)
		VALUES (NEW.id, @extschema@.mf_caller(), changes, nullif(current_setting('mf_bill.reason', true), ''));
	PERFORM @extschema@.mf_bill_notify(NEW.id);
	IF NEW.status = 'open' AND changes ?| '{total,lines,customer_name,customer_email,customer_mobile,mobile_country_code,language,customer_reference,customer_civil_id,notification_option,link_days,send_at}' THEN
		PERFORM @extschema@.mf_bill_edited(NEW.id, now(), changes);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_bill_changed() IS 'records changes of bills in mf_bill_history, and has their links follow';

-- the first to be called, by its name
CREATE TRIGGER mf_bill_fill
	BEFORE INSERT ON mf_bill
	FOR EACH ROW EXECUTE FUNCTION mf_bill_fill();
CREATE TRIGGER mf_bill_guard
	BEFORE DELETE ON mf_bill
	FOR EACH ROW EXECUTE FUNCTION mf_bill_guard();
-- most bills are in order, which this tells in a twentieth of the time
CREATE TRIGGER mf_bill_guard_insert
	BEFORE INSERT ON mf_bill
	FOR EACH ROW WHEN (NEW.created_at = pg_catalog.now() AND (NEW.lines IS NOT NULL OR NEW.link_days NOT BETWEEN 1 AND 365 OR NEW.due_date NOT BETWEEN '1970-01-01' AND '9999-12-31'
		OR NEW.send_at NOT BETWEEN '1970-01-01 00:00+00' AND '9998-01-01 00:00+00'
		OR (NEW.total >= 0 AND NEW.total < 1e12 AND NEW.total = pg_catalog.round(NEW.total, mf_currency_decimals(NEW.currency))) IS NOT TRUE))
	EXECUTE FUNCTION mf_bill_guard();
-- what our own functions change is checked if it is the status
CREATE TRIGGER mf_bill_guard_update
	BEFORE UPDATE ON mf_bill
	FOR EACH ROW WHEN (NOT mf_ours() OR OLD.status <> NEW.status) EXECUTE FUNCTION mf_bill_guard();
CREATE TRIGGER mf_bill_guard_truncate
	BEFORE TRUNCATE ON mf_bill
	FOR EACH STATEMENT EXECUTE FUNCTION mf_bill_guard();
CREATE TRIGGER mf_bill_inserted
	AFTER INSERT ON mf_bill
	REFERENCING NEW TABLE AS new_bills
	FOR EACH STATEMENT EXECUTE FUNCTION mf_bill_inserted();
CREATE TRIGGER mf_bill_changed
	AFTER UPDATE ON mf_bill
	FOR EACH ROW WHEN (NEW.erased_at IS NOT DISTINCT FROM OLD.erased_at AND OLD.account = NEW.account) EXECUTE FUNCTION mf_bill_changed();
