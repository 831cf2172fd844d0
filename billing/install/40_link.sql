--
-- The link of a bill: one live at most
--
-- All of this runs with the bill locked, as myfatoorah_billing.

CREATE FUNCTION mf_bill_lock(bill bigint)
RETURNS mf_bill
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill;
BEGIN
	-- foreign keys of receipts and links lock the row, too, and need not wait
	SELECT * INTO b FROM @extschema@.mf_bill t WHERE t.id = mf_bill_lock.bill FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'bill % does not exist', mf_bill_lock.bill USING ERRCODE = 'no_data_found', HINT = 'Give mf_bill.id.';
	END IF;
	RETURN b;
END
$$;
COMMENT ON FUNCTION mf_bill_lock(bigint) IS 'locks a bill against other changes and returns it';

-- The live link is no longer the one to pay.  What was not sent is cancelled; MyFatoorah cannot take back what was.  Whoever has
-- waited for the bill brings a time from before the wait; the times of links stay in their order all the same.
CREATE FUNCTION mf_link_retire(bill bigint, at timestamptz, why text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	retired bigint;
	became text;
BEGIN
	UPDATE @extschema@.mf_link k SET live = false, retired_at = greatest(mf_link_retire.at, k.made_at), retired_why = why
		WHERE k.bill = mf_link_retire.bill AND k.live RETURNING k.invoice INTO retired;
	IF retired IS NOT NULL THEN
		SELECT c.result INTO became FROM @extschema@.mf_cancel(ARRAY[retired], why) c;
		-- it would be sent beside the next one
		IF became = 'not_permitted' OR became LIKE 'failed: %' THEN
			RAISE EXCEPTION 'the link of bill % cannot be cancelled', mf_link_retire.bill USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = format('mf_cancel(%s) says "%s".', retired, became), HINT = 'Remove what keeps the invoice from being changed, such as a trigger of your own, and try again.';
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION mf_link_retire(bigint, timestamptz, text) IS 'retires the live link of a locked bill, if it has one';

-- What a bill is after its receipts or its total have changed.
CREATE FUNCTION mf_bill_settle(bill bigint, as_of timestamptz, why text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill := @extschema@.mf_bill_lock(mf_bill_settle.bill);
	got numeric;
	last_day date;
	became text;
	part numeric;
	live @extschema@.mf_link;
BEGIN
	SELECT coalesce(sum(r.value), 0), max(r.received_on) FILTER (WHERE r.value > 0) INTO got, last_day
		FROM @extschema@.mf_receipt r WHERE r.bill = b.id;
	became := CASE WHEN b.status = 'void' THEN 'void' WHEN got >= b.total THEN 'paid' ELSE 'open' END;
	SELECT * INTO live FROM @extschema@.mf_link k WHERE k.bill = b.id AND k.live;
	-- what was asked for in part counts until something comes in
	part := CASE WHEN got = b.received THEN b.request_value END;
	IF live.invoice IS NOT NULL AND (became <> 'open' OR live.value <> least(b.total, b.total - got, part)) THEN
		PERFORM @extschema@.mf_link_retire(b.id, as_of, why);
		live := NULL;
	END IF;
	UPDATE @extschema@.mf_bill t SET received = got, status = became, invoice = live.invoice,
		paid_on = CASE became WHEN 'paid' THEN coalesce(t.paid_on, last_day, @extschema@.mf_local_day(t.account, as_of)) END,
		closed_at = CASE WHEN became <> 'open' THEN coalesce(t.closed_at, as_of) END,
		request_value = CASE WHEN became = 'open' AND part < t.total - got THEN part END,
		link_due = CASE WHEN became <> 'open' THEN NULL WHEN live.invoice IS NOT NULL THEN least(t.link_due, live.expires_at)
			ELSE least(t.link_due, as_of) END,
		link_tries = CASE WHEN became = 'open' THEN t.link_tries ELSE 0 END,
		link_error = CASE WHEN became = 'open' THEN t.link_error END
		WHERE t.id = b.id;
	IF became = 'open' AND live.invoice IS NULL THEN
		PERFORM @extschema@.mf_bill_link_again(b.id, as_of);
	END IF;
END
$$;
COMMENT ON FUNCTION mf_bill_settle(bigint, timestamptz, text) IS 'brings a bill and its link in line with its receipts and its total';

-- Does the next step, and notes when to look again.
CREATE FUNCTION mf_bill_link_again(bill bigint, as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	again timestamptz := @extschema@.mf_bill_link(mf_bill_link_again.bill, as_of);
BEGIN
	UPDATE @extschema@.mf_bill t SET link_due = again, link_ahead = as_of
		WHERE t.id = mf_bill_link_again.bill AND (t.link_due IS DISTINCT FROM again OR t.link_ahead > as_of);
	PERFORM @extschema@.mf_billing_wake(again);
	RETURN again;
END
$$;
COMMENT ON FUNCTION mf_bill_link_again(bigint, timestamptz) IS 'does the next step towards a live link of a bill, and notes when to look again; returns that';

-- When to look again after a look that had to wait: in 2 s, 4 s, ... 1 min
CREATE FUNCTION mf_bill_wait(bill bigint, as_of timestamptz, longest interval)
RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE @extschema@.mf_bill t SET link_tries = least(t.link_tries + 1, 1000) WHERE t.id = mf_bill_wait.bill
	RETURNING mf_bill_wait.as_of + @extschema@.mf_delay(t.link_tries, interval '1 second', mf_bill_wait.longest)
$$;
COMMENT ON FUNCTION mf_bill_wait(bigint, timestamptz, interval) IS 'counts a look that had to wait; returns when to look again';

-- Whether nothing is on its way to a bill, as far as MyFatoorah has told since it was last asked.
CREATE FUNCTION mf_bill_asked(bill bigint, as_of timestamptz, since timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	k record;
	settled boolean := true;
BEGIN
	FOR k IN
		SELECT l.invoice, l.asked_at, l.asked_for, greatest(mf_bill_asked.since, l.retired_at) AS since, i.status, i.payment_status, l.retired_at,
			EXISTS (SELECT FROM @extschema@.mf_inquiry q WHERE q.invoice = l.invoice AND q.urgent) AS awaited,
			EXISTS (SELECT FROM @extschema@.mf_transaction t WHERE t.invoice = l.invoice AND t.transaction_status = 'InProgress'
				AND abs(extract(epoch FROM clock_timestamp() - t.changed_at)) < 600) AS in_progress
		FROM @extschema@.mf_link l JOIN @extschema@.mf_invoice i ON i.id = l.invoice
		WHERE l.bill = mf_bill_asked.bill AND i.payment_status IN ('unpaid', 'authorized') AND i.status IN ('sent', 'sending', 'unknown', 'review')
		ORDER BY l.invoice
	LOOP
		IF k.status <> 'sent' THEN
			-- it may exist, and its fate decides itself, or a person decides it; a live one is on its way out
			settled := settled AND k.retired_at IS NULL;
		ELSIF k.payment_status = 'authorized' OR k.in_progress THEN
			settled := false;
		-- an answer of a time that has not come is none
		ELSIF k.asked_at IS NULL OR k.asked_at > clock_timestamp() OR k.asked_for < k.since OR (k.asked_at < k.since AND k.since <= clock_timestamp()) THEN
			PERFORM @extschema@.mf_refresh(k.invoice);
			UPDATE @extschema@.mf_link l SET asked_at = clock_timestamp(), asked_for = greatest(mf_bill_asked.as_of, k.since) WHERE l.invoice = k.invoice;
			settled := false;
		ELSIF k.awaited THEN
			settled := false;
		END IF;
	END LOOP;
	RETURN settled;
END
$$;
COMMENT ON FUNCTION mf_bill_asked(bigint, timestamptz, timestamptz) IS 'has MyFatoorah asked about all links of a bill that may still be paid, unless it was since that time; true once it has answered, and nothing is on its way';

-- The next step towards a live link of a locked bill.  Returns when to look again; null: not before something changes.
CREATE FUNCTION mf_bill_link_step(bill bigint, as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill;
	live @extschema@.mf_link;
	value numeric;
	ends timestamptz;
	made bigint;
	replaced bigint;
	facts record;
BEGIN
	-- settles the bill if there was something
	PERFORM @extschema@.mf_bill_book(mf_bill_link_step.bill);
	b := @extschema@.mf_bill_lock(mf_bill_link_step.bill);
	IF b.status <> 'open' THEN
		RETURN NULL;
	END IF;
	SELECT * INTO live FROM @extschema@.mf_link k WHERE k.bill = b.id AND k.live;
	IF live.expires_at > as_of THEN
		RETURN live.expires_at;
	END IF;
	-- one that could not be made for long is made on a new answer
	IF NOT @extschema@.mf_bill_asked(b.id, as_of, greatest(live.expires_at, as_of - interval '15 minutes')) THEN
		RETURN @extschema@.mf_bill_wait(b.id, as_of, interval '1 minute');
	END IF;
	-- the answer may have been recorded after we booked; a payment in it has settled the bill, and its link
	IF @extschema@.mf_bill_book(b.id) > 0 THEN
		RETURN (SELECT t.link_due FROM @extschema@.mf_bill t WHERE t.id = b.id);
	END IF;
	IF live.invoice IS NOT NULL THEN
		PERFORM @extschema@.mf_link_retire(b.id, as_of, 'expired'::text);
		UPDATE @extschema@.mf_bill t SET invoice = NULL, link_tries = 0 WHERE t.id = b.id;
		IF NOT (@extschema@.mf_policy(b.account)).renew AND EXISTS (SELECT FROM @extschema@.mf_invoice i WHERE i.id = live.invoice AND i.sent_at IS NOT NULL) THEN
			RETURN NULL;
		END IF;
	END IF;

	-- where more was given back than came in, the customer owes no more than the bill all the same
	value := least(b.balance, b.total, coalesce(b.request_value, b.balance));
	SELECT * INTO facts FROM @extschema@.mf_account_facts(b.account);
	ends := greatest(b.send_at, as_of) + coalesce(b.link_days, (@extschema@.mf_policy(b.account)).link_days) * interval '1 day';
	SELECT k.invoice INTO replaced FROM @extschema@.mf_link k JOIN @extschema@.mf_invoice i ON i.id = k.invoice
		WHERE k.bill = b.id AND i.replaced_by IS NULL AND i.payment_status IN ('unpaid', 'authorized', 'expired', 'remote_cancelled')
			AND i.received_value = 0 ORDER BY k.invoice DESC LIMIT 1;
	made := (@extschema@.mf_insert_as(b.created_by_id, ARRAY[@extschema@.mf_bill_invoice(b, facts.currency, value,
				coalesce(b.link_option, CASE WHEN NOT EXISTS (SELECT FROM @extschema@.mf_link k JOIN @extschema@.mf_invoice i ON i.id = k.invoice
					WHERE k.bill = b.id AND i.sent_at IS NOT NULL) THEN b.notification_option END, 'LNK'), CASE WHEN b.send_at > as_of THEN b.send_at END, ends, @extschema@.mf_bill_address(''::text))], ARRAY[replaced], NULL::bigint[]))[1];
	INSERT INTO @extschema@.mf_link (invoice, bill, live, value, made_at, expires_at) VALUES (made, b.id, true, value, greatest(as_of, (SELECT max(k.retired_at) FROM @extschema@.mf_link k WHERE k.bill = b.id)), ends);
	UPDATE @extschema@.mf_bill t SET invoice = made, link_tries = 0, link_error = NULL, link_option = NULL WHERE t.id = b.id;
	RETURN ends;
END
$$;
COMMENT ON FUNCTION mf_bill_link_step(bigint, timestamptz) IS 'does the next step towards a live link of a bill: books, asks, waits, or makes one; returns when to look again, null: not before something changes';

-- The same.  One bill that cannot have a link, because its account or a right is gone, stops neither the others nor a receipt.
CREATE FUNCTION mf_bill_link(bill bigint, as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state text;
	message text;
BEGIN
	RETURN @extschema@.mf_bill_link_step(mf_bill_link.bill, as_of);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	IF @extschema@.mf_is_transient(state) THEN
		RAISE;
	END IF;
	UPDATE @extschema@.mf_bill t SET link_error = CASE state WHEN '42501' THEN @extschema@.mf_bill_denied(message, t.created_by_id) ELSE replace(@extschema@.mf_bill_words(message), format('role with OID %s ', t.created_by_id), format('role "%s" ', t.created_by)) END
		WHERE t.id = mf_bill_link.bill;
	RETURN @extschema@.mf_bill_wait(mf_bill_link.bill, as_of, interval '1 day');
END
$$;
COMMENT ON FUNCTION mf_bill_link(bigint, timestamptz) IS 'does the next step towards a live link of a bill; what fails is put off and noted in link_error';

-- Another link in place of the live one, if there is one.
CREATE FUNCTION mf_bill_renew(bill bigint, as_of timestamptz, why text, notification_option text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.mf_bill_lock(mf_bill_renew.bill);
	PERFORM @extschema@.mf_link_retire(mf_bill_renew.bill, as_of, why);
	UPDATE @extschema@.mf_bill t SET link_tries = 0, link_error = NULL, link_option = coalesce(mf_bill_renew.notification_option, t.link_option)
		WHERE t.id = mf_bill_renew.bill AND t.status = 'open';
	PERFORM @extschema@.mf_bill_settle(mf_bill_renew.bill, as_of, why);
	RETURN (SELECT t.invoice FROM @extschema@.mf_bill t WHERE t.id = mf_bill_renew.bill);
END
$$;
COMMENT ON FUNCTION mf_bill_renew(bigint, timestamptz, text, text) IS 'replaces the link of a bill, and has MyFatoorah send the new one if an option says so; returns it, null if there is none yet or the bill is closed';

-- People have changed an open bill.
CREATE FUNCTION mf_bill_edited(bill bigint, as_of timestamptz, changes jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.mf_bill_lock(mf_bill_edited.bill);
	PERFORM @extschema@.mf_bill_book(mf_bill_edited.bill);
	-- a link that shows another customer or amount is not the one to pay
	IF changes ?| '{lines,customer_name,customer_email,customer_mobile,mobile_country_code,language,customer_reference,customer_civil_id,notification_option,link_days,send_at}' THEN
		PERFORM @extschema@.mf_link_retire(mf_bill_edited.bill, as_of, 'changed'::text);
	END IF;
	PERFORM @extschema@.mf_bill_settle(mf_bill_edited.bill, as_of, 'changed'::text);
END
$$;
COMMENT ON FUNCTION mf_bill_edited(bigint, timestamptz, jsonb) IS 'replaces the link of a bill whose total or customer was changed';

-- mf_adopt() makes another row of an invoice whose row was deleted; the attempts of that one stay, and tell which link it was.  The
-- invoice has a reference of ours, or there was none.
CREATE FUNCTION mf_link_adopted(i mf_invoice)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	gone bigint;
	b bigint;
BEGIN
	IF i.taken_over_from IS NULL OR i.customer_reference !~ '(^|\.)[0-9a-z]{20}(~[0-9]+)?$' IS NOT FALSE THEN
		RETURN NULL;
	END IF;
	SELECT k.invoice, k.bill INTO gone, b FROM @extschema@.mf_attempt a JOIN @extschema@.mf_link k ON k.invoice = a.invoice JOIN @extschema@.mf_bill t ON t.id = k.bill
		WHERE a.invoice_id = i.invoice_id AND @extschema@.mf_shares_numbers(t.account, NULL::text, i.account)
			AND NOT EXISTS (SELECT FROM @extschema@.mf_invoice_all o WHERE o.id = k.invoice) LIMIT 1;
	IF gone IS NOT NULL THEN
		PERFORM @extschema@.mf_bill_lock(b);
		UPDATE @extschema@.mf_link k SET invoice = i.id WHERE k.invoice = gone;
		UPDATE @extschema@.mf_receipt r SET invoice = i.id WHERE r.bill = b AND r.invoice = gone;
		UPDATE @extschema@.mf_reminder m SET invoice = i.id WHERE m.bill = b AND m.invoice = gone;
		UPDATE @extschema@.mf_bill t SET invoice = i.id WHERE t.id = b AND t.invoice = gone;
	END IF;
	RETURN b;
END
$$;
COMMENT ON FUNCTION mf_link_adopted(mf_invoice) IS 'gives a link whose row was deleted the row that mf_adopt() has made of its invoice; returns its bill, null: it is none';

-- Called by the core after each change of money or state of an invoice.
CREATE FUNCTION mf_billing_on_change(old mf_invoice, new mf_invoice)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b bigint := coalesce((SELECT k.bill FROM @extschema@.mf_link k WHERE k.invoice = new.id), @extschema@.mf_link_adopted(new));
	at timestamptz := clock_timestamp();
BEGIN
	IF b IS NULL THEN
		RETURN;
	END IF;
	PERFORM @extschema@.mf_bill_lock(b);
	PERFORM @extschema@.mf_bill_book(b);
	IF new.disputed_at IS DISTINCT FROM old.disputed_at THEN
		PERFORM @extschema@.mf_bill_notify(b);
		PERFORM @extschema@.mf_reminder_recall(b, at);
	END IF;
	-- both links are ours: whichever is paid counts for the bill, and of what is paid twice mf_overpaid tells
	IF new.payment_doubt ~ '^invoice \d+, which replaces it, can be paid or was, too$' AND NOT new.duplicate_suspected
		AND EXISTS (SELECT FROM @extschema@.mf_link k WHERE k.invoice = new.replaced_by AND k.bill = b) THEN
		PERFORM @extschema@.mf_resolve(new.id, 'dismiss'::text, format('its payment is booked for bill %s, as is that of invoice %s if it comes', b, new.replaced_by), NULL::bigint, NULL::text);
	END IF;
	IF EXISTS (SELECT FROM @extschema@.mf_link k WHERE k.invoice = new.id AND k.live) THEN
		IF new.payment_status = 'expired' OR (new.status = 'rejected' AND new.last_error LIKE 'not sent, because expiry_date %') THEN
			UPDATE @extschema@.mf_link k SET expires_at = least(k.expires_at, at), asked_at = greatest(k.asked_at, at), asked_for = greatest(k.asked_for, at) WHERE k.invoice = new.id;
			PERFORM @extschema@.mf_bill_link_again(b, at);
		ELSIF new.status IN ('rejected', 'cancelled') OR new.payment_status = 'remote_cancelled' THEN
			-- another one would end in the same way: a person corrects the bill, or asks for one
			PERFORM @extschema@.mf_link_retire(b, at, CASE new.status WHEN 'sent' THEN new.payment_status ELSE new.status END);
			UPDATE @extschema@.mf_bill t SET invoice = NULL, link_due = NULL,
				link_error = coalesce(new.last_error, 'the link was cancelled') WHERE t.id = b AND t.status = 'open';
		ELSE
			PERFORM @extschema@.mf_bill_notify(b);
		END IF;
	ELSIF EXISTS (SELECT FROM @extschema@.mf_bill t WHERE t.id = b AND t.status = 'open' AND t.invoice IS NULL AND t.link_due IS NOT NULL) THEN
		-- what was awaited may have been decided
		PERFORM @extschema@.mf_bill_link_again(b, at);
	END IF;
END
$$;
COMMENT ON FUNCTION mf_billing_on_change(mf_invoice, mf_invoice) IS 'books payments of links, and replaces links that have ended';
