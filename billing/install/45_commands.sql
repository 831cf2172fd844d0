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
			HINT = CASE b.status WHEN 'paid' THEN format('Reverse its receipts by hand with mf_reverse(), and refund its payments, first: INSERT INTO mf_refund (invoice, value) SELECT invoice, mf_refundable(invoice) FROM mf_link WHERE bill = %s AND mf_refundable(invoice) > 0', b.id) ELSE 'Call mf_reopen(bill, reason) to make it a debt again.' END;
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
	ELSIF b.erased_at IS NOT NULL THEN
		RAISE EXCEPTION 'bill % cannot be opened again, because its customer was forgotten', b.id USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Insert another bill.';
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
		ELSIF value > b.total THEN
			RAISE EXCEPTION 'value is more than the total of bill %', b.id USING ERRCODE = 'invalid_parameter_value', COLUMN = 'value',
				DETAIL = format('It is %s, and the total is %s; more was given back than came in.', mf_request.value, b.total);
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

-- What to do about an overpayment.  What can still be refunded of a link is what will stay of it once all refunds under way are
-- carried out, whoever has asked for them, so that nothing is given back twice.
CREATE FUNCTION mf_overpaid_advice(bill bigint, OUT being_refunded numeric, OUT payments text[], OUT next_step text)
RETURNS record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b record;
	p record;
	rest numeric;
	part numeric;
	unit numeric;
	kept numeric;
	planned jsonb := '{}';
	absent bigint[];
	disputed text[];
	key text;
	refunds text[];
	rows text[];
	by_hand boolean;
BEGIN
	SELECT t.overpaid, t.currency INTO b FROM @extschema@.mf_bill t WHERE t.id = mf_overpaid_advice.bill;
	SELECT coalesce(sum(greatest(k.booked - k.stays, 0)), 0), array_agg(k.invoice ORDER BY k.invoice) FILTER (WHERE k.stays IS NULL AND k.booked > 0)
		INTO being_refunded, absent
		FROM (SELECT l.invoice, r.booked, @extschema@.mf_bill_amount(@extschema@.mf_refundable(l.invoice), i.base_currency, i.base_value, l.value, b.currency) AS stays
			FROM (SELECT t.invoice, sum(t.value) AS booked FROM @extschema@.mf_receipt t WHERE t.bill = mf_overpaid_advice.bill AND t.method = 'online' GROUP BY 1) r
				JOIN @extschema@.mf_link l ON l.invoice = r.invoice LEFT JOIN @extschema@.mf_invoice i ON i.id = l.invoice) k;
	by_hand := EXISTS (SELECT FROM @extschema@.mf_receipt t WHERE t.bill = mf_overpaid_advice.bill AND t.method <> 'online' HAVING sum(t.value) > 0);
	rest := b.overpaid - being_refunded;

	FOR p IN
		SELECT r.payment_id, l.invoice, l.value, i.base_value, i.base_currency, @extschema@.mf_refundable(l.invoice, r.payment_id) AS has, @extschema@.mf_refundable(l.invoice) AS stays
		FROM (SELECT t.payment_id, t.invoice, min(t.id) AS id FROM @extschema@.mf_receipt t
				WHERE t.bill = mf_overpaid_advice.bill AND t.value > 0 AND t.payment_id IS NOT NULL AND t.method = 'online' GROUP BY 1, 2) r
			JOIN @extschema@.mf_link l ON l.invoice = r.invoice JOIN @extschema@.mf_invoice i ON i.id = l.invoice
		ORDER BY r.id DESC
	LOOP
		CONTINUE WHEN p.has <= 0 IS NOT FALSE;
		-- its bank may take it back by itself; a dispute that does not name its payment may be of any
		IF EXISTS (SELECT FROM @extschema@.mf_dispute d WHERE d.invoice = p.invoice AND (d.payment_id = p.payment_id) IS NOT FALSE AND d.status = 'PENDING') THEN
			disputed := disputed || p.payment_id;
			CONTINUE;
		END IF;
		payments := payments || p.payment_id;
		-- in whole units of the account's currency; of another currency the bill may get back a little less, never more, which would open it
		unit := 10 ^ -@extschema@.mf_currency_decimals(p.base_currency);
		kept := p.stays - coalesce((planned->>p.invoice::text)::numeric, 0);
		part := least(p.has, kept, CASE WHEN p.base_currency = b.currency THEN rest ELSE ceil(rest * p.base_value / p.value / unit) * unit END);
		IF @extschema@.mf_bill_amount(kept, p.base_currency, p.base_value, p.value, b.currency)
			- @extschema@.mf_bill_amount(kept - part, p.base_currency, p.base_value, p.value, b.currency) > rest THEN
			part := part - unit;
		END IF;
		CONTINUE WHEN part <= 0;
		part := round(part, @extschema@.mf_currency_decimals(p.base_currency));
		rest := rest - @extschema@.mf_bill_amount(kept, p.base_currency, p.base_value, p.value, b.currency)
			+ @extschema@.mf_bill_amount(kept - part, p.base_currency, p.base_value, p.value, b.currency);
		planned := planned || jsonb_build_object(p.invoice, p.stays - kept + part);
		refunds := refunds || format('%s %s of payment %s', part, p.base_currency, p.payment_id);
		-- the same for all who read this before one of them has done it
		key := format('overpaid %s %s ', mf_overpaid_advice.bill, p.payment_id);
		key := key || (SELECT count(*) FROM @extschema@.mf_refund t WHERE t.invoice = p.invoice AND starts_with(t.idempotency_key, key));
		rows := rows || format('(%s, %s, %L, %L)', p.invoice, part, p.payment_id, key);
	END LOOP;

	next_step := concat_ws(' ',
		CASE WHEN being_refunded > 0 THEN format('Refunds of %s %s are under way%s.', being_refunded, b.currency, CASE WHEN rest <= 0 AND rows IS NULL THEN ', and that is all of it' END) END,
		CASE WHEN rows IS NOT NULL THEN format('Refund %s: INSERT INTO mf_refund (invoice, value, payment_id, idempotency_key) VALUES %s ON CONFLICT (account, idempotency_key) DO NOTHING. Refunds become receipts by themselves.', array_to_string(refunds, ' and '), array_to_string(rows, ', ')) END,
		CASE WHEN rest <= 0 THEN NULL
			WHEN absent IS NOT NULL THEN format('Of what links were paid that are not in mf_invoice nothing is known here: SELECT mf_unarchive(%L), and look here again.', absent)
			WHEN disputed IS NOT NULL THEN format('Of %s %s wait until the dispute of payment %s has ended, and look here again: the bank may take it back by itself.', rest, b.currency, array_to_string(disputed, ' and '))
			WHEN by_hand THEN format('Give %s %s back by hand. Record it in one transaction: SELECT mf_reverse(receipt, reason), and INSERT INTO mf_receipt what stays of that receipt, if anything does.', rest, b.currency)
			ELSE format('Of %s %s nothing can be refunded.', rest, b.currency) END);
END
$$;
COMMENT ON FUNCTION mf_overpaid_advice(bigint) IS 'for mf_overpaid: of an overpaid bill what refunds under way give back, payments that can be refunded, and what to do';

CREATE VIEW mf_overpaid WITH (security_barrier) AS
	SELECT b.id AS bill, b.account, b.status, b.customer_name, b.customer_reference, b.currency, b.total, b.received, b.overpaid,
		a.being_refunded, a.payments, a.next_step
	FROM mf_bill b, LATERAL mf_overpaid_advice(b.id) a
	WHERE b.overpaid > 0 AND mf_bill_visible(b.id);
COMMENT ON VIEW mf_overpaid IS 'bills for which more has come in than is owed: paid twice, or after they were void; what to refund, by which call';
COMMENT ON COLUMN mf_overpaid.overpaid IS 'in the currency of the bill; refunds are in that of the account, as next_step has them';
COMMENT ON COLUMN mf_overpaid.being_refunded IS 'what of it refunds under way give back: asked for, not yet refunded';
COMMENT ON COLUMN mf_overpaid.payments IS 'PaymentIds of its online payments that can be refunded, the latest first';
