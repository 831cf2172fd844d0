--
-- What mf_check() reports of bills
--
CREATE FUNCTION mf_check_billing(account text)
RETURNS TABLE (item text, ok boolean, detail text, hint text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	retention constant interval := current_setting('myfatoorah.personal_data_retention');
	today date;
	r record;
	wrong boolean := false;
BEGIN
	-- bills, plans and rules of accounts whose server was dropped, or renamed where the library was not loaded
	-- (accounts are found one after the other by the index, because open bills may be many)
	FOR r IN WITH RECURSIVE accounts AS (
			SELECT min(b.account COLLATE "C") AS account FROM @extschema@.mf_bill b WHERE b.status = 'open'
			UNION ALL SELECT (SELECT min(b.account COLLATE "C") FROM @extschema@.mf_bill b WHERE b.status = 'open' AND b.account COLLATE "C" > a.account) FROM accounts a WHERE a.account IS NOT NULL)
		SELECT t.account, string_agg(format('%s %s', t.number, t.kind), ', ' ORDER BY t.kind) AS what FROM (
			SELECT a.account, 'open bills' AS kind, (SELECT count(*) FROM @extschema@.mf_bill b WHERE b.status = 'open' AND b.account COLLATE "C" = a.account) AS number
				FROM accounts a WHERE a.account IS NOT NULL AND NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = a.account)
			UNION ALL SELECT p.account, 'plans', count(*) FROM @extschema@.mf_plan p WHERE p.status <> 'ended' GROUP BY 1
			UNION ALL SELECT q.account, 'rules of reminders', count(*) FROM @extschema@.mf_reminder_rule q WHERE q.active GROUP BY 1) t
		WHERE NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = t.account) GROUP BY 1 ORDER BY 1
	LOOP
		wrong := true;
		RETURN QUERY SELECT 'bills', false, format('Account "%s" does not exist, and has %s: nothing is sent for them.', r.account, r.what),
			format('If its server was renamed: SELECT mf_move_account(%L, ''its present name''). If it was dropped, create it again, or make its bills void and end its plans.', r.account);
	END LOOP;
	-- what follows the policies of mf_bill and mf_plan does not by itself
	FOR r IN SELECT string_agg(t.name, ', ' ORDER BY t.name) AS names, t.of FROM (VALUES ('mf_bill_history', 'mf_bill'), ('mf_link', 'mf_bill'), ('mf_receipt', 'mf_bill'), ('mf_reminder', 'mf_bill'),
				('mf_reminder_queue', 'mf_bill'), ('mf_plan_history', 'mf_plan'), ('mf_plan_period', 'mf_plan'), ('mf_plan', 'mf_bill')) t(name, of)
			JOIN pg_class c ON c.oid = to_regclass('@extschema@.' || t.name) JOIN pg_class o ON o.oid = to_regclass('@extschema@.' || t.of)
		WHERE o.relrowsecurity AND NOT c.relrowsecurity GROUP BY t.of ORDER BY 2
	LOOP
		wrong := true;
		RETURN QUERY SELECT 'policies', false, format('%s has row-level security, and whoever may read these tables sees there what is known of all of it: %s.', r.of, r.names),
			format('For each: ALTER TABLE ... ENABLE ROW LEVEL SECURITY, and CREATE POLICY visible ON ... USING (%s); of mf_plan, a policy as that of mf_bill.', CASE r.of WHEN 'mf_bill' THEN 'mf_bill_visible(bill)' ELSE 'mf_plan_visible(plan)' END);
	END LOOP;
	IF NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = mf_check_billing.account) THEN
		RETURN;
	END IF;
	today := @extschema@.mf_local_day(mf_check_billing.account, now());

	FOR r IN SELECT t.name FROM @extschema@.mf_reminder_rule t
		WHERE t.account = mf_check_billing.account AND t.active AND NOT isfinite(@extschema@.mf_reminder_due(t, today)) ORDER BY t.name
	LOOP
		wrong := true;
		RETURN QUERY SELECT 'reminders', false, format('Rule "%s" can never fire: each day of the next two years is off.', r.name), 'Correct mf_day_off, and weekend in mf_billing_policy.';
	END LOOP;
	FOR r IN SELECT count(*) AS bills, min(q.bill) AS bill, (array_agg(q.error ORDER BY q.bill))[1] AS error FROM @extschema@.mf_reminder_queue q JOIN @extschema@.mf_bill b ON b.id = q.bill
		WHERE q.error IS NOT NULL AND b.account = mf_check_billing.account HAVING count(*) > 0
	LOOP
		wrong := true;
		RETURN QUERY SELECT 'reminders', false, format('Bills that cannot be reminded of: %s; of bill %s: %s', r.bills, r.bill, r.error),
			'Correct the bill or the rule; it is tried again by itself. What was due before a promotion goes after SELECT mf_resume(''*''). SELECT * FROM mf_reminder_queue shows them.';
	END LOOP;
	FOR r IN SELECT max(o.day) AS last FROM @extschema@.mf_day_off o WHERE o.account = mf_check_billing.account HAVING max(o.day) < today + 60
	LOOP
		wrong := true;
		RETURN QUERY SELECT 'days_off', false, format('The last day in mf_day_off is %s.', to_char(r.last, 'YYYY-MM-DD')), 'Add the holidays of the next year.';
	END LOOP;
	-- those that are due last are those whose links may end before
	FOR r IN SELECT count(*) AS bills, min(t.id) AS bill FROM (
			SELECT b.id, b.due_date, b.invoice, b.notification_option FROM @extschema@.mf_bill b
			WHERE b.status = 'open' AND b.account COLLATE "C" = mf_check_billing.account AND b.due_date > today ORDER BY b.due_date DESC, b.id DESC LIMIT 1000) t
			JOIN @extschema@.mf_link k ON k.invoice = t.invoice
		WHERE @extschema@.mf_local_day(mf_check_billing.account, k.expires_at) < t.due_date
			AND (t.notification_option <> 'LNK' OR NOT (@extschema@.mf_policy(mf_check_billing.account)).renew) HAVING count(*) > 0
	LOOP
		wrong := true;
		RETURN QUERY SELECT 'links', false, format('Bills whose links end before they are due, and were mailed or are not renewed: %s of the 1000 that are due last; one is bill %s.', r.bills, r.bill),
			'Give them more link_days, in mf_bill or mf_billing_policy, or send the bill''s own address instead of the link.';
	END LOOP;
	FOR r IN SELECT count(*) AS bills, min(b.id) AS bill, (array_agg(b.link_error ORDER BY b.id))[1] AS error FROM @extschema@.mf_bill b
		WHERE b.link_error IS NOT NULL AND b.account COLLATE "C" = mf_check_billing.account AND b.status = 'open' HAVING count(*) > 0
	LOOP
		wrong := true;
		RETURN QUERY SELECT 'links', false, format('Bills that cannot have a link: %s; of bill %s: %s', r.bills, r.bill, r.error),
			'Correct the bill, or what its error names. It is tried again by itself, after a refusal by MyFatoorah by mf_new_link(bill, reason). SELECT bill, link_error FROM mf_receivable WHERE link_error IS NOT NULL shows them.';
	END LOOP;
	-- what is old is emptied within a day or so; the oldest thousand tell enough
	FOR r IN SELECT count(*) AS bills, min(b.id) AS bill FROM (SELECT t.* FROM @extschema@.mf_bill t WHERE t.status <> 'open' AND t.erased_at IS NULL
				AND retention <> interval '0' AND t.created_at < now() - retention - interval '2 days' ORDER BY t.created_at LIMIT 1000) b
		WHERE b.account = mf_check_billing.account AND @extschema@.mf_bill_unfinished(b) IS NULL HAVING count(*) > 0
	LOOP
		wrong := true;
		RETURN QUERY SELECT 'personal_data', false, format('Bills that are older than myfatoorah.personal_data_retention and were not emptied: %s of the oldest; one is bill %s.', r.bills, r.bill),
			'As a superuser: SELECT mf_billing_tick(now()). It tells why; mostly a trigger of your own keeps them from being changed.';
	END LOOP;
	IF to_regclass('@extschema@.mf_plan') IS NOT NULL THEN
		FOR r IN SELECT count(*) AS plans, min(p.id) AS plan, max(t) AS promoted FROM @extschema@.mf_plan p, @extschema@.mf_promoted_at() t
			WHERE p.account = mf_check_billing.account AND p.next_at <= t AND p.created_at <= t HAVING count(*) > 0
		LOOP
			wrong := true;
			RETURN QUERY SELECT 'promoted', false, format('Plans with a period that was due before this server was promoted, at %s: %s; one is plan %s. It is not billed, because the primary before it may have done that.', date_trunc('second', r.promoted), r.plans, r.plan),
				'SELECT id FROM mf_plan WHERE next_at <= mf_promoted_at() AND created_at <= mf_promoted_at() names them. Look in the portal which of their customers have the invoice. For each of these: SELECT mf_resume_plan(plan, reason, ''none''), which passes over what was due then; mf_adopt() does not. Then: SELECT mf_resume(''*''), which bills the others.';
		END LOOP;
		FOR r IN SELECT count(*) AS plans, min(p.id) AS plan, (array_agg(p.last_error ORDER BY p.id))[1] AS error FROM @extschema@.mf_plan p, @extschema@.mf_promoted_at() t
			WHERE p.account = mf_check_billing.account AND p.status = 'active' AND (p.next_on < today - 1 OR p.last_error IS NOT NULL) AND (p.next_at > t OR p.created_at > t) HAVING count(*) > 0
		LOOP
			wrong := true;
			RETURN QUERY SELECT 'plans', false, format('Plans whose next bill is late: %s; of plan %s: %s', r.plans, r.plan, coalesce(r.error, 'it was not tried')),
				'Correct the plan, or what its error names; it is tried again by itself. What was not tried waits while all is paused, or mf_billing_tick() fails, as the item "reactions" says. SELECT id, next_on, last_error FROM mf_plan shows them.';
		END LOOP;
	END IF;
	IF NOT wrong THEN
		RETURN QUERY SELECT 'bills', true, 'Links, plans, reminders and days off are in order.', NULL::text;
	END IF;
END
$$;
COMMENT ON FUNCTION mf_check_billing(text) IS 'called by mf_check(): what is wrong with links, plans, reminders, days off and personal data of an account';
