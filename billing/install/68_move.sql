--
-- Accounts that get another name
--
-- Called by the core in the transaction in which a server is renamed, and by mf_move_account().  All columns of ours that
-- name an account are here; billing/sql/renamed.sql finds one that is not.  Where the new name has a row of the same key, which a
-- server of that name left when it was dropped, both stay, and neither bills nor reminds in place of the other.  What waited
-- for want of a server is tried at once.
CREATE FUNCTION mf_move_billing(old_account text, new_account text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	moved bigint;
	rows bigint := 0;
BEGIN
	IF new_account IS NULL THEN
		RETURN (EXISTS (SELECT FROM @extschema@.mf_bill b WHERE b.account = old_account)
			OR EXISTS (SELECT FROM @extschema@.mf_plan p WHERE p.account = old_account)
			OR EXISTS (SELECT FROM @extschema@.mf_reminder_rule r WHERE r.account = old_account))::integer;
	END IF;

	-- a bill whose key is taken has none any more; the history keeps it
	INSERT INTO @extschema@.mf_bill_history (bill, actor, changes, reason)
		SELECT b.id, @extschema@.mf_caller(), jsonb_build_object('bill_key', jsonb_build_array(b.bill_key, NULL)), format('account %s has a bill with that key', new_account)
		FROM @extschema@.mf_bill b WHERE b.account = old_account AND EXISTS (SELECT FROM @extschema@.mf_bill o WHERE o.account = new_account AND o.bill_key = b.bill_key);
	UPDATE @extschema@.mf_bill b SET account = new_account,
		bill_key = CASE WHEN NOT EXISTS (SELECT FROM @extschema@.mf_bill o WHERE o.account = new_account AND o.bill_key = b.bill_key) THEN b.bill_key END,
		link_due = CASE WHEN b.link_tries > 0 THEN least(b.link_due, now()) ELSE b.link_due END
		WHERE b.account = old_account;
	GET DIAGNOSTICS moved = ROW_COUNT;
	rows := rows + moved;

	-- a plan whose key is taken is paused: the other one bills
	PERFORM set_config('mf_bill.reason', format('account %s is %s now', old_account, new_account), true);
	UPDATE @extschema@.mf_plan p SET account = new_account, plan_key = CASE WHEN NOT t.taken THEN p.plan_key END,
		status = CASE WHEN t.taken AND p.status = 'active' THEN 'paused' ELSE p.status END,
		next_at = CASE WHEN NOT t.taken THEN CASE WHEN p.tries > 0 THEN least(p.next_at, now()) ELSE p.next_at END END
		FROM (SELECT q.id, EXISTS (SELECT FROM @extschema@.mf_plan o WHERE o.account = new_account AND o.plan_key = q.plan_key) AS taken
			FROM @extschema@.mf_plan q WHERE q.account = old_account) t WHERE t.id = p.id;
	GET DIAGNOSTICS moved = ROW_COUNT;
	rows := rows + moved;
	PERFORM set_config('mf_bill.reason', '', true);

	-- a rule whose name is taken reminds no more: the other one does
	UPDATE @extschema@.mf_reminder_rule r SET account = new_account, active = r.active AND NOT t.taken,
		name = CASE WHEN t.taken THEN format('%s (%s, %s)', r.name, old_account, r.id) ELSE r.name END
		FROM (SELECT q.id, EXISTS (SELECT FROM @extschema@.mf_reminder_rule o WHERE o.account = new_account AND o.name = q.name) AS taken
			FROM @extschema@.mf_reminder_rule q WHERE q.account = old_account) t WHERE t.id = r.id;
	GET DIAGNOSTICS moved = ROW_COUNT;
	rows := rows + moved;

	-- what the new name has already, holds
	INSERT INTO @extschema@.mf_billing_policy AS p SELECT new_account, o.link_days, o.renew, o.weekend, o.quiet_from, o.quiet_to, o.merchant_name
		FROM @extschema@.mf_billing_policy o WHERE o.account = old_account ON CONFLICT DO NOTHING;
	DELETE FROM @extschema@.mf_billing_policy p WHERE p.account = old_account;
	INSERT INTO @extschema@.mf_day_off AS d SELECT new_account, o.day, o.name FROM @extschema@.mf_day_off o WHERE o.account = old_account ON CONFLICT DO NOTHING;
	DELETE FROM @extschema@.mf_day_off d WHERE d.account = old_account;
	PERFORM @extschema@.mf_billing_wake(now());
	RETURN rows;
END
$$;
COMMENT ON FUNCTION mf_move_billing(text, text) IS 'called by the core when an account gets another name: gives its bills, plans, rules, policy and days off the new name, and returns how many; null: changes nothing, and returns whether there are any';
