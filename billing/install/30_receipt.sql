--
-- Receipts: what came in for a bill, and what went back
--
CREATE TABLE mf_receipt (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	bill bigint NOT NULL REFERENCES mf_bill,
	received_on date,
	method text COLLATE "C" NOT NULL CHECK (method IN ('online', 'cash', 'cheque', 'transfer', 'other')),
	value numeric NOT NULL,
	note text,
	invoice bigint,
	payment_id text COLLATE "C",
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	created_by name COLLATE "C" NOT NULL DEFAULT CURRENT_USER,
	reverses bigint,
	ledger bigint,
	receipt_key text COLLATE "C" CHECK (receipt_key ~ '\S' AND length(receipt_key) <= 255),
	CHECK (received_on IS NOT NULL),
	CHECK ((method = 'online') = (ledger IS NOT NULL) AND (method = 'online') = (invoice IS NOT NULL)),
	CHECK (value <> 0 AND (value > 0 OR ledger IS NOT NULL OR reverses IS NOT NULL))
);

CREATE UNIQUE INDEX mf_receipt_reverses_idx ON mf_receipt (reverses) WHERE reverses IS NOT NULL;
CREATE UNIQUE INDEX mf_receipt_ledger_idx ON mf_receipt (ledger) WHERE ledger IS NOT NULL;
-- Not partial, so that a plain ON CONFLICT (bill, receipt_key) finds it.  It is that of the receipts of a bill, too.
CREATE UNIQUE INDEX mf_receipt_key_idx ON mf_receipt (bill, receipt_key);
CREATE INDEX mf_receipt_received_on_idx ON mf_receipt USING brin (received_on);

COMMENT ON TABLE mf_receipt IS 'what came in for bills, append-only: insert what was paid by hand; what is paid online is added by us';
COMMENT ON COLUMN mf_receipt.bill IS 'mf_bill.id';
COMMENT ON COLUMN mf_receipt.received_on IS 'civil day of the account; today there if null';
COMMENT ON COLUMN mf_receipt.method IS 'cash, cheque, transfer or other; online: added by us from mf_ledger';
COMMENT ON COLUMN mf_receipt.value IS 'in the currency of the bill; negative for refunds, chargebacks and reversals';
COMMENT ON COLUMN mf_receipt.note IS 'your own text';
COMMENT ON COLUMN mf_receipt.invoice IS 'result: of an online one, the link';
COMMENT ON COLUMN mf_receipt.payment_id IS 'result: of an online one, PaymentId';
COMMENT ON COLUMN mf_receipt.created_at IS 'result: when it was recorded';
COMMENT ON COLUMN mf_receipt.created_by IS 'result: by which role';
COMMENT ON COLUMN mf_receipt.reverses IS 'result: the receipt that it takes back; without a foreign key, because only mf_reverse() writes it, and a dump would have to put rows of one table in order';
COMMENT ON COLUMN mf_receipt.ledger IS 'result: of an online one, mf_ledger.id; none is booked twice';
COMMENT ON COLUMN mf_receipt.receipt_key IS 'your own key, unique within the bill: what is booked twice counts once';

CREATE FUNCTION mf_receipt_guard()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill;
BEGIN
	-- ON CONFLICT DO UPDATE, which returns the one that is there; notes of a customer who is forgotten; the row of a link that was adopted
	IF TG_OP = 'UPDATE' AND (NEW IS NOT DISTINCT FROM OLD OR (@extschema@.mf_ours() AND to_jsonb(NEW) - '{note,invoice}'::text[] = to_jsonb(OLD) - '{note,invoice}'::text[])) THEN
		RETURN NEW;
	ELSIF TG_OP <> 'INSERT' THEN
		RAISE EXCEPTION 'receipts are neither changed nor deleted' USING ERRCODE = 'insufficient_privilege',
			HINT = 'Call mf_reverse(receipt, reason), which adds the opposite.';
	END IF;
	IF @extschema@.mf_ours() THEN
		RETURN NEW;
	END IF;
	-- all of a row that comes from a dump is there
	IF NEW.id IS NOT NULL AND NEW.received_on IS NOT NULL AND (NEW.ledger IS NOT NULL OR NEW.reverses IS NOT NULL OR NEW.created_at <> now())
		AND pg_has_role(current_user, @extschema@.mf_billing_role(), 'USAGE') THEN
		RETURN NEW;
	END IF;
	SELECT * INTO b FROM @extschema@.mf_bill t WHERE t.id = NEW.bill;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'bill % does not exist', NEW.bill USING ERRCODE = 'no_data_found', COLUMN = 'bill', HINT = 'Give mf_bill.id.';
	END IF;
	PERFORM @extschema@.mf_check_right('bill'::text, b.id, b.created_by_id, current_user);
	IF NEW.method = 'online' OR NEW.invoice IS NOT NULL OR NEW.payment_id IS NOT NULL OR NEW.ledger IS NOT NULL THEN
		RAISE EXCEPTION 'online receipts are written by myfatoorah_billing only' USING ERRCODE = 'insufficient_privilege', COLUMN = 'method',
			HINT = 'Give cash, cheque, transfer or other. mf_refresh() of the link asks MyFatoorah for a payment that is missing.';
	ELSIF NEW.reverses IS NOT NULL THEN
		RAISE EXCEPTION 'reversals are written by myfatoorah_billing only' USING ERRCODE = 'insufficient_privilege', COLUMN = 'reverses',
			HINT = 'Call mf_reverse(receipt, reason).';
	END IF;
	PERFORM @extschema@.mf_check_amount('value'::text, NEW.value, b.currency, 'above 0'::text);
	NEW.received_on := coalesce(NEW.received_on, @extschema@.mf_local_day(b.account, now()));
	PERFORM @extschema@.mf_check_day('received_on'::text, NEW.received_on);
	IF NEW.received_on > @extschema@.mf_local_day(b.account, now()) THEN
		RAISE EXCEPTION 'received_on is in the future' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'received_on',
			DETAIL = format('It is %s.', NEW.received_on), HINT = 'Record a post-dated cheque on the day on which it is paid.';
	END IF;
	NEW.created_at := now();
	NEW.created_by := current_user;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION mf_receipt_guard() IS 'checks receipts, and keeps them as they are';

-- ON CONFLICT would pass another receipt over in silence.  The bill is locked first, so that one of a session that has not committed yet is seen.
CREATE FUNCTION mf_receipt_key()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill := @extschema@.mf_bill_lock(NEW.bill);
	r @extschema@.mf_receipt;
	field text;
BEGIN
	SELECT * INTO r FROM @extschema@.mf_receipt t WHERE t.bill = NEW.bill AND t.receipt_key = NEW.receipt_key;
	IF NOT FOUND THEN
		RETURN NEW;
	ELSIF EXISTS (SELECT FROM @extschema@.mf_receipt t WHERE t.reverses = r.id) THEN
		RAISE EXCEPTION 'receipt % of bill % has that receipt_key, and was reversed', r.id, b.id USING ERRCODE = 'unique_violation', COLUMN = 'receipt_key',
			HINT = 'Give another key.';
	END IF;
	-- of two that name no day, the second may come on a later one
	field := CASE WHEN NEW.value <> r.value THEN 'value' WHEN NEW.method <> r.method THEN 'method'
		WHEN NEW.received_on <> r.received_on AND (NEW.received_on <> @extschema@.mf_local_day(b.account, now())
			OR r.received_on <> @extschema@.mf_local_day(b.account, r.created_at)) THEN 'received_on'
		WHEN NEW.note IS DISTINCT FROM r.note AND b.erased_at IS NULL THEN 'note' END;
	IF field IS NOT NULL THEN
		RAISE EXCEPTION 'receipt % of bill % has that receipt_key, and another %', r.id, b.id, field USING ERRCODE = 'unique_violation', COLUMN = field,
			HINT = 'Give another receipt another key. To correct that one, call mf_reverse(receipt, reason), and insert it with another key.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION mf_receipt_key() IS 'lets a key that is taken stand for the same receipt only';

CREATE FUNCTION mf_receipt_inserted()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b bigint;
BEGIN
	-- what was restored is settled already; bills in one order, so that two sessions do not wait for each other
	FOR b IN SELECT DISTINCT n.bill FROM new_receipts n WHERE n.created_at = now() ORDER BY 1 LOOP
		PERFORM @extschema@.mf_bill_settle(b, now(), 'receipt'::text);
	END LOOP;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_receipt_inserted() IS 'settles the bills of new receipts, and so retires or replaces their links';

CREATE TRIGGER mf_receipt_guard
	BEFORE INSERT OR UPDATE OR DELETE ON mf_receipt
	FOR EACH ROW EXECUTE FUNCTION mf_receipt_guard();
-- after the guard, by its name
CREATE TRIGGER mf_receipt_key
	BEFORE INSERT ON mf_receipt
	FOR EACH ROW WHEN (NEW.receipt_key IS NOT NULL AND NEW.created_at = pg_catalog.now()) EXECUTE FUNCTION mf_receipt_key();
CREATE TRIGGER mf_receipt_guard_truncate
	BEFORE TRUNCATE ON mf_receipt
	FOR EACH STATEMENT EXECUTE FUNCTION mf_receipt_guard();
CREATE TRIGGER mf_receipt_inserted
	AFTER INSERT ON mf_receipt
	REFERENCING NEW TABLE AS new_receipts
	FOR EACH STATEMENT EXECUTE FUNCTION mf_receipt_inserted();

--
-- Payments: from the core's ledger, each entry once
--
CREATE FUNCTION mf_bill_amount(amount numeric, base_currency text, base_value numeric, value numeric, currency text)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN base_currency = currency THEN amount ELSE round(value * amount / base_value, mf_currency_decimals(currency)) END;
COMMENT ON FUNCTION mf_bill_amount(numeric, text, numeric, numeric, text) IS 'an amount of a link in the currency of the account as one in that of its bill';

-- In the currency of the bill: where that is not the account's own, an entry counts with
-- its part of the invoice's value, cumulated, so that a whole payment is the whole value.
-- One that is nothing in that currency counts with the next.
CREATE FUNCTION mf_bill_entries(bill bigint)
RETURNS TABLE (ledger bigint, invoice bigint, payment_id text, kind text, at timestamptz, value numeric)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT * FROM (
		SELECT l.id, l.invoice, l.payment_id, l.kind, coalesce(CASE l.kind WHEN 'payment' THEN t.transaction_date END, l.at),
			@extschema@.mf_bill_amount(sum(l.amount) OVER w, l.currency, i.base_value, k.value, b.currency)
				- @extschema@.mf_bill_amount(sum(l.amount) OVER w - l.amount, l.currency, i.base_value, k.value, b.currency) AS value
		FROM @extschema@.mf_link k JOIN @extschema@.mf_invoice i ON i.id = k.invoice JOIN @extschema@.mf_bill b ON b.id = k.bill
			JOIN @extschema@.mf_ledger l ON l.invoice = k.invoice AND l.kind <> 'fee'
			LEFT JOIN @extschema@.mf_transaction t ON t.invoice = l.invoice AND t.payment_id = l.payment_id
		WHERE k.bill = mf_bill_entries.bill
		WINDOW w AS (PARTITION BY l.invoice ORDER BY l.id)) m
	WHERE m.value <> 0 AND NOT EXISTS (SELECT FROM @extschema@.mf_receipt r WHERE r.ledger = m.id)
$$;
COMMENT ON FUNCTION mf_bill_entries(bigint) IS 'what mf_ledger has of a bill''s links that is no receipt yet, in the currency of the bill';

CREATE FUNCTION mf_bill_unbooked(bill bigint)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- mostly there is nothing, which the first look tells
	RETURN EXISTS (SELECT FROM @extschema@.mf_link k JOIN @extschema@.mf_ledger l ON l.invoice = k.invoice
			WHERE k.bill = mf_bill_unbooked.bill AND l.kind <> 'fee' AND NOT EXISTS (SELECT FROM @extschema@.mf_receipt r WHERE r.ledger = l.id))
		AND EXISTS (SELECT FROM @extschema@.mf_bill_entries(mf_bill_unbooked.bill));
END
$$;
COMMENT ON FUNCTION mf_bill_unbooked(bigint) IS 'whether mf_ledger has payments or refunds of a bill''s links that are no receipts yet';

CREATE FUNCTION mf_bill_book(bill bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill;
	booked bigint;
BEGIN
	-- mostly there is nothing to book, and then nothing is locked
	IF NOT @extschema@.mf_bill_unbooked(mf_bill_book.bill) THEN
		RETURN 0;
	END IF;
	b := @extschema@.mf_bill_lock(mf_bill_book.bill);
	INSERT INTO @extschema@.mf_receipt (bill, received_on, method, value, invoice, payment_id, ledger, note)
	SELECT b.id, @extschema@.mf_local_day(b.account, e.at), 'online', e.value, e.invoice, e.payment_id, e.ledger, nullif(e.kind, 'payment')
	FROM @extschema@.mf_bill_entries(b.id) e ORDER BY e.ledger
	ON CONFLICT (ledger) WHERE ledger IS NOT NULL DO NOTHING;
	GET DIAGNOSTICS booked = ROW_COUNT;
	RETURN booked;
END
$$;
COMMENT ON FUNCTION mf_bill_book(bigint) IS 'adds the receipts of payments and refunds of a bill''s links that are in mf_ledger; returns how many';

CREATE FUNCTION mf_reverse(receipt bigint, reason text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r @extschema@.mf_receipt;
	reversal bigint;
BEGIN
	PERFORM @extschema@.mf_check_reason(reason);
	SELECT * INTO r FROM @extschema@.mf_receipt t WHERE t.id = mf_reverse.receipt;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'receipt % does not exist', mf_reverse.receipt USING ERRCODE = 'no_data_found', HINT = 'Give mf_receipt.id.';
	ELSIF r.method = 'online' THEN
		RAISE EXCEPTION 'receipt % is an online payment and cannot be reversed', r.id USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = format('Refund it: INSERT INTO mf_refund (invoice, value, payment_id) SELECT %1$s, mf_refundable(%1$s, %2$L), %2$L. The refund becomes a receipt by itself.', r.invoice, r.payment_id);
	ELSIF r.reverses IS NOT NULL THEN
		RAISE EXCEPTION 'receipt % is a reversal', r.id USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Insert a receipt with the value again.';
	END IF;
	PERFORM @extschema@.mf_bill_lock(r.bill);
	IF EXISTS (SELECT FROM @extschema@.mf_receipt t WHERE t.reverses = r.id) THEN
		RAISE EXCEPTION 'receipt % was reversed already', r.id USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	INSERT INTO @extschema@.mf_receipt (bill, received_on, method, value, note, reverses, created_by)
		SELECT r.bill, @extschema@.mf_local_day(b.account, now()), r.method, -r.value, mf_reverse.reason, r.id, @extschema@.mf_caller()
		FROM @extschema@.mf_bill b WHERE b.id = r.bill RETURNING id INTO reversal;
	RETURN reversal;
END
$$;
COMMENT ON FUNCTION mf_reverse(bigint, text) IS 'adds the opposite of a receipt by hand, which was wrong or has bounced; returns its id';
