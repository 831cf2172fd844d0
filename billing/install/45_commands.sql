--
-- What people do with bills
--
CREATE FUNCTION mf_check_reason(reason text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF coalesce(btrim(reason), '') = '' THEN
		RAISE EXCEPTION 'reason must not be empty' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'reason', HINT = 'Give the reason for the history, such as ''moved out''.';
	ELSIF length(reason) > 1000 THEN
		RAISE EXCEPTION 'reason is too long' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'reason',
			DETAIL = format('It has %s characters; the limit is 1000.', length(reason));
	END IF;
END
$$;
COMMENT ON FUNCTION mf_check_reason(text) IS 'raises an error unless a reason is given';

-- Locks a bill for a command, whose reason the history shows.
CREATE FUNCTION mf_bill_begin(bill bigint, reason text)
RETURNS mf_bill
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill;
BEGIN
	PERFORM @extschema@.mf_check_reason(reason);
	PERFORM @extschema@.mf_bill_lock(mf_bill_begin.bill);
	PERFORM set_config('mf_bill.reason', reason, true);
	PERFORM @extschema@.mf_bill_book(mf_bill_begin.bill);
	SELECT * INTO b FROM @extschema@.mf_bill t WHERE t.id = mf_bill_begin.bill;
	RETURN b;
END
$$;
COMMENT ON FUNCTION mf_bill_begin(bigint, text) IS 'locks a bill for a command and books what has come in; the history shows the reason';

CREATE FUNCTION mf_void(bill bigint, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill := @extschema@.mf_bill_begin(mf_void.bill, mf_void.reason);
BEGIN
	IF b.status <> 'open' THEN
		RAISE EXCEPTION 'bill % is % and cannot be made void', b.id, b.status USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = CASE b.status WHEN 'paid' THEN 'Reverse its receipts with mf_reverse(), or refund its payments in the MyFatoorah portal, first.' ELSE 'Call mf_reopen(bill, reason) to make it a debt again.' END;
	END IF;
	PERFORM @extschema@.mf_link_retire(b.id, now(), 'void'::text);
	UPDATE @extschema@.mf_bill t SET status = 'void', invoice = NULL, closed_at = now(), request_value = NULL, link_due = NULL, link_tries = 0, link_error = NULL
		WHERE t.id = b.id;
	-- whether it was paid at the last moment
	PERFORM @extschema@.mf_bill_asked(b.id, now(), now());
	PERFORM set_config('mf_bill.reason', '', true);
END
$$;
COMMENT ON FUNCTION mf_void(bigint, text) IS 'gives up an open bill: its link is retired; what is paid of it after all is shown by mf_overpaid';

CREATE FUNCTION mf_reopen(bill bigint, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill := @extschema@.mf_bill_begin(mf_reopen.bill, mf_reopen.reason);
BEGIN
	IF b.status <> 'void' THEN
		RAISE EXCEPTION 'bill % is %, not void', b.id, b.status USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = CASE b.status WHEN 'paid' THEN 'A paid bill opens by itself when a receipt is reversed or a payment refunded.' ELSE 'It is a debt already.' END;
	END IF;
	UPDATE @extschema@.mf_bill t SET status = 'open', closed_at = NULL WHERE t.id = b.id;
	PERFORM @extschema@.mf_bill_settle(b.id, now(), 'reopened'::text);
	PERFORM set_config('mf_bill.reason', '', true);
END
$$;
COMMENT ON FUNCTION mf_reopen(bigint, text) IS 'makes a void bill a debt again; it gets a new link';

CREATE FUNCTION mf_new_link(bill bigint, reason text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill := @extschema@.mf_bill_begin(mf_new_link.bill, mf_new_link.reason);
BEGIN
	PERFORM @extschema@.mf_bill_check_open(b);
	PERFORM @extschema@.mf_bill_renew(b.id, now(), 'new link'::text, NULL::text);
	PERFORM set_config('mf_bill.reason', '', true);
	RETURN (SELECT t.invoice FROM @extschema@.mf_bill t WHERE t.id = b.id);
END
$$;
COMMENT ON FUNCTION mf_new_link(bigint, text) IS 'replaces the link of an open bill; returns mf_invoice.id of the new one, null if MyFatoorah is asked about the former first';

CREATE FUNCTION mf_request(bill bigint, value numeric)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill := @extschema@.mf_bill_begin(mf_request.bill, 'request of ' || coalesce(mf_request.value::text, 'the whole balance'));
BEGIN
	PERFORM @extschema@.mf_bill_check_open(b);
	IF value IS NOT NULL THEN
		PERFORM @extschema@.mf_check_amount('value'::text, mf_request.value, b.currency, 'above 0'::text);
		IF value > b.balance THEN
			RAISE EXCEPTION 'value is more than the balance of bill %', b.id USING ERRCODE = 'invalid_parameter_value', COLUMN = 'value',
				DETAIL = format('It is %s, and the balance is %s.', mf_request.value, b.balance);
		END IF;
	END IF;
	UPDATE @extschema@.mf_bill t SET request_value = nullif(mf_request.value, t.balance), link_tries = 0, link_error = NULL WHERE t.id = b.id;
	PERFORM @extschema@.mf_bill_settle(b.id, now(), 'request'::text);
	PERFORM set_config('mf_bill.reason', '', true);
	RETURN (SELECT t.invoice FROM @extschema@.mf_bill t WHERE t.id = b.id);
END
$$;
COMMENT ON FUNCTION mf_request(bigint, numeric) IS 'has the link of an open bill ask for a part of its balance, null for all of it again; returns mf_invoice.id of the link, null if MyFatoorah is asked about the former first';

CREATE FUNCTION mf_bill_check_open(b mf_bill)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF b.status <> 'open' THEN
		RAISE EXCEPTION 'bill % is % and has no link', b.id, b.status USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = CASE b.status WHEN 'void' THEN 'Call mf_reopen(bill, reason) first.' ELSE 'Nothing is owed.' END;
	END IF;
END
$$;
COMMENT ON FUNCTION mf_bill_check_open(mf_bill) IS 'raises an error unless a bill is open';

CREATE VIEW mf_overpaid WITH (security_barrier) AS
	SELECT b.id AS bill, b.account, b.status, b.customer_name, b.customer_reference, b.currency, b.total, b.received, b.overpaid,
		p.payments,
		CASE WHEN p.payments IS NULL THEN pg_catalog.format('Give %s %s back by hand. Record it in one transaction: SELECT mf_reverse(receipt, reason), and INSERT INTO mf_receipt what stays of that receipt, if anything does.', b.overpaid, b.currency)
			ELSE pg_catalog.format('Refund %s %s, of payment %s: INSERT INTO mf_refund (invoice, value, payment_id) VALUES (%s, %s, %L). The refund becomes a receipt by itself.', b.overpaid, b.currency,
				(SELECT pg_catalog.string_agg(q.payment_id, ' or ') FROM pg_catalog.unnest(p.payments) q(payment_id)),
				p.invoices[1], least(b.overpaid, p.amounts[1]), p.payments[1]) END AS next_step
	FROM mf_bill b, LATERAL (SELECT pg_catalog.array_agg(r.payment_id ORDER BY r.id DESC) AS payments, pg_catalog.array_agg(r.invoice ORDER BY r.id DESC) AS invoices,
			pg_catalog.array_agg(r.value ORDER BY r.id DESC) AS amounts FROM mf_receipt r
		WHERE r.bill = b.id AND r.method = 'online' AND r.value > 0) p
	WHERE b.overpaid > 0 AND mf_bill_visible(b.id);
COMMENT ON VIEW mf_overpaid IS 'bills for which more has come in than is owed: paid twice, or after they were void; what to refund, by which call';
COMMENT ON COLUMN mf_overpaid.payments IS 'PaymentIds of its online payments, the latest first';
