--
-- Owner and rights: first revoke what default privileges may have granted
--
DO LANGUAGE plpgsql $do$
DECLARE
	o record;
	g record;
BEGIN
	FOR o IN
		SELECT d.classid, d.objid, CASE WHEN p.oid IS NOT NULL THEN 'FUNCTION' WHEN c.relkind OPERATOR(pg_catalog.=) 'S' THEN 'SEQUENCE'
				WHEN c.relkind OPERATOR(pg_catalog.=) 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind,
			coalesce(p.oid::pg_catalog.regprocedure::text, c.oid::pg_catalog.regclass::text) AS name,
			coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner), c.relacl) AS acl, coalesce(p.proowner, c.relowner) AS owner,
			c.relkind OPERATOR(pg_catalog.=) 'S' AS sequence
		FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
				AND d.refobjid OPERATOR(pg_catalog.=) e.oid
			LEFT JOIN pg_catalog.pg_proc p ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid OPERATOR(pg_catalog.=) d.objid
			LEFT JOIN pg_catalog.pg_class c ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid OPERATOR(pg_catalog.=) d.objid
				AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v,S}')
		WHERE e.extname OPERATOR(pg_catalog.=) 'myfatoorah_billing' AND d.deptype OPERATOR(pg_catalog.=) 'e' AND (p.oid IS NOT NULL OR c.oid IS NOT NULL)
	LOOP
		FOR g IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END AS grantee
			FROM pg_catalog.aclexplode(o.acl) a WHERE a.grantee OPERATOR(pg_catalog.<>) o.owner
		LOOP
			EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s CASCADE', CASE o.kind WHEN 'VIEW' THEN 'TABLE' ELSE o.kind END, o.name, g.grantee);
		END LOOP;
		-- whoever may use a row type may keep its table from being changed
		IF o.kind OPERATOR(pg_catalog.=) ANY ('{TABLE,VIEW}') THEN
			EXECUTE pg_catalog.format('REVOKE ALL ON TYPE %s FROM PUBLIC', o.name);
		END IF;
		-- a sequence follows its table
		IF NOT coalesce(o.sequence, false) THEN
			EXECUTE pg_catalog.format('ALTER %s %s OWNER TO myfatoorah_billing', o.kind, o.name);
		END IF;
	END LOOP;
END
$do$;

-- Bills
GRANT SELECT ON mf_bill, mf_link, mf_receipt, mf_bill_history, mf_billing_policy, mf_overpaid TO myfatoorah_submit, myfatoorah_read;
GRANT INSERT (account, bill_key, customer_name, customer_email, customer_mobile, mobile_country_code, language, customer_reference, customer_civil_id,
	total, currency, lines, due_date, notification_option, send_at, link_days, memo, metadata) ON mf_bill TO myfatoorah_submit;
GRANT UPDATE (customer_name, customer_email, customer_mobile, mobile_country_code, language, customer_reference, customer_civil_id,
	total, lines, due_date, notification_option, send_at, link_days, memo, metadata) ON mf_bill TO myfatoorah_submit, myfatoorah_operate;
GRANT INSERT (bill, received_on, method, value, note, receipt_key), UPDATE (receipt_key) ON mf_receipt TO myfatoorah_submit, myfatoorah_operate;
GRANT INSERT, UPDATE, DELETE ON mf_billing_policy TO myfatoorah_operate;
GRANT EXECUTE ON FUNCTION mf_currency_decimals, mf_facts, mf_local_day, mf_local_time, mf_policy, mf_bill_transition_allowed, mf_lines_sum, mf_check_amount, mf_check_day, mf_check_right, mf_bill_visible,
	mf_billing_role, mf_ours, mf_operates, mf_bill_address, mf_bill_amount, mf_overpaid_advice
	TO myfatoorah_submit, myfatoorah_read;
GRANT EXECUTE ON FUNCTION mf_void, mf_reopen, mf_new_link, mf_request, mf_reverse TO myfatoorah_operate;

-- Codes and addresses; what answers /pay/TOKEN is for nobody
GRANT EXECUTE ON FUNCTION mf_qr, mf_zatca_qr, mf_zatca_field, mf_pay_url TO myfatoorah_submit, myfatoorah_read;

-- Plans
GRANT SELECT ON mf_plan, mf_plan_period, mf_plan_history, mf_day_off TO myfatoorah_submit, myfatoorah_read;
GRANT INSERT (account, plan_key, template, starts_on, anchor_on, ends_on, times, every, parts, part_days, calendar, bill_days_before, due_days, at_time, on_day_off, first_partial, catch_up)
	ON mf_plan TO myfatoorah_submit;
GRANT UPDATE (template, starts_on, anchor_on, ends_on, times, every, parts, part_days, calendar, bill_days_before, due_days, at_time, on_day_off, first_partial, catch_up)
	ON mf_plan TO myfatoorah_submit, myfatoorah_operate;
GRANT INSERT, UPDATE, DELETE ON mf_day_off TO myfatoorah_operate;
GRANT EXECUTE ON FUNCTION mf_hijri, mf_hijri_day, mf_hijri_add_months, mf_calendar_add, mf_is_day_off, mf_working_day, mf_split, mf_plan_first_day, mf_plan_compute, mf_plan_check,
	mf_plan_visible, mf_plan_ahead, mf_plan_preview TO myfatoorah_submit, myfatoorah_read;
GRANT EXECUTE ON FUNCTION mf_pause_plan, mf_resume_plan, mf_end_plan TO myfatoorah_submit, myfatoorah_operate;

-- Reminders
GRANT SELECT ON mf_reminder_rule, mf_reminder, mf_reminder_queue TO myfatoorah_submit, myfatoorah_read;
GRANT INSERT (account, name, days_from_due, at_time, via, notification_option, min_balance, active),
	UPDATE (account, name, days_from_due, at_time, via, notification_option, min_balance, active), DELETE ON mf_reminder_rule TO myfatoorah_operate;
GRANT EXECUTE ON FUNCTION mf_reminder_time, mf_reminder_due TO myfatoorah_submit, myfatoorah_read;
GRANT EXECUTE ON FUNCTION mf_snooze TO myfatoorah_operate;
GRANT EXECUTE ON FUNCTION mf_reminder_done TO myfatoorah_submit, myfatoorah_operate;

-- Reports
GRANT SELECT ON mf_today, mf_receivable, mf_aging, mf_bill_dispute TO myfatoorah_submit, myfatoorah_read;
GRANT EXECUTE ON FUNCTION mf_bucket, mf_statement, mf_collected, mf_promoted_at, mf_check_billing TO myfatoorah_submit, myfatoorah_read;

-- Personal data
GRANT EXECUTE ON FUNCTION mf_forget_billing, mf_bill_erase, mf_plan_erase TO myfatoorah_operate;
GRANT EXECUTE ON FUNCTION mf_bill_unfinished TO myfatoorah_submit, myfatoorah_read, myfatoorah_operate;

-- What the core calls
SELECT mf_on_change('mf_billing_on_change(mf_invoice, mf_invoice)', payments_only => true);
SELECT mf_on_time('mf_billing_tick(timestamptz)');
SELECT mf_on_request('/pay/', 'mf_bill_page(text)');

-- Dumps
SELECT pg_catalog.pg_extension_config_dump('mf_billing_policy', '');
SELECT pg_catalog.pg_extension_config_dump('mf_bill', '');
SELECT pg_catalog.pg_extension_config_dump('mf_bill_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_link', '');
SELECT pg_catalog.pg_extension_config_dump('mf_receipt', '');
SELECT pg_catalog.pg_extension_config_dump('mf_plan', '');
SELECT pg_catalog.pg_extension_config_dump('mf_plan_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_plan_period', '');
SELECT pg_catalog.pg_extension_config_dump('mf_plan_history', '');
SELECT pg_catalog.pg_extension_config_dump('mf_plan_history_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_receipt_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_bill_history', '');
SELECT pg_catalog.pg_extension_config_dump('mf_bill_history_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_day_off', '');
SELECT pg_catalog.pg_extension_config_dump('mf_reminder_rule', '');
SELECT pg_catalog.pg_extension_config_dump('mf_reminder_rule_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_reminder', '');
SELECT pg_catalog.pg_extension_config_dump('mf_reminder_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('mf_reminder_queue', '');

-- What the tables of the extension consist of, as in the core; anything else was added by users.
INSERT INTO mf_part (kind, relation, name) SELECT a.kind, a.relation, a.name FROM mf_addition a
WHERE EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid OPERATOR(pg_catalog.=) d.refobjid JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.objid
	WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
		AND e.extname OPERATOR(pg_catalog.=) 'myfatoorah_billing' AND c.relname OPERATOR(pg_catalog.=) a.relation);
