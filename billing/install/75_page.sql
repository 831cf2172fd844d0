--
-- The page of a bill: /pay/TOKEN
--
-- Whoever has the address sees it, so it tells no more than the merchant's name, the amount and the status.
-- The Arabic is written as HTML has it in ASCII, so that this script fits databases of any encoding; docs/billing.md has it as text.

-- Characters that nobody sees and that turn text around (U+202A to U+202E, U+2066 to U+2069) or control a terminal are left out: what is read is what
-- is written.  Only UTF-8 has them, but for those of ASCII.
CREATE FUNCTION mf_html_escape(value text)
RETURNS text
LANGUAGE sql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT replace(replace(replace(replace(replace(CASE getdatabaseencoding() WHEN 'UTF8' THEN regexp_replace(v.value, '[\u0080-\u009F\u00AD\u034F\u061C\u115F\u1160\u180E\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\u3164\uFEFF\uFFA0\U000E0000-\U000E007F]', '', 'g') ELSE v.value END,
		'&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;')
	FROM (SELECT regexp_replace(mf_html_escape.value, '[\x01-\x08\x0B-\x1F\x7F]', '', 'g')) v(value)
$$;
COMMENT ON FUNCTION mf_html_escape(text) IS 'a text as it stands in HTML, between tags or in an attribute, without characters that turn it around';

CREATE FUNCTION mf_bill_page_date(day date, arabic boolean)
RETURNS text
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(' ', extract(day FROM day), (CASE WHEN arabic THEN '{&#1610;&#1606;&#1575;&#1610;&#1585;,&#1601;&#1576;&#1585;&#1575;&#1610;&#1585;,&#1605;&#1575;&#1585;&#1587;,&#1571;&#1576;&#1585;&#1610;&#1604;,&#1605;&#1575;&#1610;&#1608;,&#1610;&#1608;&#1606;&#1610;&#1608;,&#1610;&#1608;&#1604;&#1610;&#1608;,&#1571;&#1594;&#1587;&#1591;&#1587;,&#1587;&#1576;&#1578;&#1605;&#1576;&#1585;,&#1571;&#1603;&#1578;&#1608;&#1576;&#1585;,&#1606;&#1608;&#1601;&#1605;&#1576;&#1585;,&#1583;&#1610;&#1587;&#1605;&#1576;&#1585;}'::text[]
		ELSE '{January,February,March,April,May,June,July,August,September,October,November,December}' END)[extract(month FROM day)::integer], extract(year FROM day))
$$;
COMMENT ON FUNCTION mf_bill_page_date(date, boolean) IS 'a day in words, in Arabic or English';

-- What is said in a state: title, text, whether there is an amount to pay, how soon the page is loaded again, status of HTTP
CREATE FUNCTION mf_bill_page_words(state text, arabic boolean, OUT title text, OUT says text, OUT amount boolean, OUT refresh integer, OUT status integer)
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN arabic THEN w.title_ar ELSE w.title_en END, CASE WHEN arabic THEN w.says_ar ELSE w.says_en END, w.amount, w.refresh, w.status
	FROM (VALUES
		('paid', 'Paid', 'This bill has been paid. Thank you.',
			'&#1578;&#1605; &#1575;&#1604;&#1583;&#1601;&#1593;', '&#1578;&#1605; &#1583;&#1601;&#1593; &#1607;&#1584;&#1607; &#1575;&#1604;&#1601;&#1575;&#1578;&#1608;&#1585;&#1577;. &#1588;&#1603;&#1585;&#1611;&#1575; &#1604;&#1603;.', true, NULL, 200),
		('void', 'Nothing to pay', 'This bill no longer has to be paid.',
			'&#1604;&#1575; &#1610;&#1608;&#1580;&#1583; &#1605;&#1576;&#1604;&#1594; &#1605;&#1587;&#1578;&#1581;&#1602;', '&#1604;&#1605; &#1578;&#1593;&#1583; &#1607;&#1584;&#1607; &#1575;&#1604;&#1601;&#1575;&#1578;&#1608;&#1585;&#1577; &#1605;&#1587;&#1578;&#1581;&#1602;&#1577; &#1575;&#1604;&#1583;&#1601;&#1593;.', false, NULL, 410),
		('wait', 'One moment, please', 'The payment page is being prepared. This page goes on by itself.',
			'&#1604;&#1581;&#1592;&#1577; &#1605;&#1606; &#1601;&#1590;&#1604;&#1603;', '&#1610;&#1580;&#1585;&#1610; &#1578;&#1580;&#1607;&#1610;&#1586; &#1589;&#1601;&#1581;&#1577; &#1575;&#1604;&#1583;&#1601;&#1593;&#1548; &#1608;&#1587;&#1578;&#1606;&#1578;&#1602;&#1604; &#1573;&#1604;&#1610;&#1607;&#1575; &#1578;&#1604;&#1602;&#1575;&#1574;&#1610;&#1611;&#1575;.', true, 3, 200),
		('unconfirmed', 'Payment not confirmed yet', 'We are still waiting for the confirmation of a payment. Please do not pay again until you know more.',
			'&#1604;&#1605; &#1610;&#1578;&#1605; &#1578;&#1571;&#1603;&#1610;&#1583; &#1575;&#1604;&#1583;&#1601;&#1593; &#1576;&#1593;&#1583;', '&#1605;&#1575; &#1586;&#1604;&#1606;&#1575; &#1606;&#1606;&#1578;&#1592;&#1585; &#1578;&#1571;&#1603;&#1610;&#1583; &#1593;&#1605;&#1604;&#1610;&#1577; &#1575;&#1604;&#1583;&#1601;&#1593;. &#1610;&#1585;&#1580;&#1609; &#1593;&#1583;&#1605; &#1575;&#1604;&#1583;&#1601;&#1593; &#1605;&#1585;&#1577; &#1571;&#1582;&#1585;&#1609; &#1602;&#1576;&#1604; &#1605;&#1593;&#1585;&#1601;&#1577; &#1575;&#1604;&#1606;&#1578;&#1610;&#1580;&#1577;.', true, 10, 200),
		('early', 'Not to be paid yet', 'This bill can be paid here from %s on.',
			'&#1604;&#1605; &#1610;&#1581;&#1606; &#1605;&#1608;&#1593;&#1583; &#1575;&#1604;&#1583;&#1601;&#1593; &#1576;&#1593;&#1583;', '&#1610;&#1605;&#1603;&#1606;&#1603; &#1583;&#1601;&#1593; &#1607;&#1584;&#1607; &#1575;&#1604;&#1601;&#1575;&#1578;&#1608;&#1585;&#1577; &#1607;&#1606;&#1575; &#1575;&#1576;&#1578;&#1583;&#1575;&#1569;&#1611; &#1605;&#1606; %s.', true, NULL, 200),
		('later', 'Not available at the moment', 'This bill cannot be paid here at the moment. Please try again later, or ask whoever has sent you the bill.',
			'&#1594;&#1610;&#1585; &#1605;&#1578;&#1575;&#1581; &#1581;&#1575;&#1604;&#1610;&#1611;&#1575;', '&#1604;&#1575; &#1610;&#1605;&#1603;&#1606; &#1583;&#1601;&#1593; &#1607;&#1584;&#1607; &#1575;&#1604;&#1601;&#1575;&#1578;&#1608;&#1585;&#1577; &#1607;&#1606;&#1575; &#1581;&#1575;&#1604;&#1610;&#1611;&#1575;. &#1610;&#1585;&#1580;&#1609; &#1575;&#1604;&#1605;&#1581;&#1575;&#1608;&#1604;&#1577; &#1604;&#1575;&#1581;&#1602;&#1611;&#1575; &#1571;&#1608; &#1605;&#1585;&#1575;&#1580;&#1593;&#1577; &#1575;&#1604;&#1580;&#1607;&#1577; &#1575;&#1604;&#1578;&#1610; &#1571;&#1585;&#1587;&#1604;&#1578; &#1575;&#1604;&#1601;&#1575;&#1578;&#1608;&#1585;&#1577;.', true, NULL, 503)
	) w(state, title_en, says_en, title_ar, says_ar, amount, refresh, status)
	WHERE w.state = mf_bill_page_words.state
$$;
COMMENT ON FUNCTION mf_bill_page_words(text, boolean) IS 'what the page of a bill says in a state, in Arabic or English';

CREATE FUNCTION mf_bill_page_amount(value numeric, currency text)
RETURNS text
LANGUAGE sql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT to_char(value, CASE @extschema@.mf_currency_decimals(currency) WHEN 3 THEN 'FM999,999,999,990.000' ELSE 'FM999,999,999,990.00' END) $$;
COMMENT ON FUNCTION mf_bill_page_amount(numeric, text) IS 'an amount as people read it, with the decimals of its currency';

CREATE FUNCTION mf_bill_page_draw(b mf_bill, state text)
RETURNS mf_response
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	arabic constant boolean := upper(b.language) IS NOT DISTINCT FROM 'AR';
	merchant constant text := @extschema@.mf_html_escape(nullif(btrim((@extschema@.mf_policy(b.account)).merchant_name), ''));
	words record;
	value numeric;
	receipt bigint;
	facts text := '';
BEGIN
	SELECT * INTO words FROM @extschema@.mf_bill_page_words(state, arabic);
	IF state = 'early' THEN
		words.says := format(words.says, @extschema@.mf_bill_page_date(@extschema@.mf_local_day(b.account, b.send_at), arabic));
	END IF;
	value := CASE state WHEN 'paid' THEN b.total ELSE least(b.balance, b.total, b.request_value) END;
	IF state = 'paid' THEN
		SELECT max(r.id) INTO receipt FROM @extschema@.mf_receipt r
			WHERE r.bill = b.id AND r.value > 0 AND NOT EXISTS (SELECT FROM @extschema@.mf_receipt o WHERE o.reverses = r.id);
		facts := format('<dl><dt>%s</dt><dd>%s</dd>', CASE WHEN arabic THEN '&#1578;&#1575;&#1585;&#1610;&#1582; &#1575;&#1604;&#1583;&#1601;&#1593;' ELSE 'Paid on' END, @extschema@.mf_bill_page_date(b.paid_on, arabic))
			|| coalesce('<dt>' || CASE WHEN arabic THEN '&#1585;&#1602;&#1605; &#1575;&#1604;&#1573;&#1610;&#1589;&#1575;&#1604;' ELSE 'Receipt' END || '</dt><dd>' || receipt || '</dd>', '') || '</dl>';
	END IF;
	RETURN ROW(words.status, 'text/html', NULL, concat(
		format(E'<!DOCTYPE html>\n<html lang="%s" dir="%s">\n<head>\n<meta charset="utf-8">\n', CASE WHEN arabic THEN 'ar' ELSE 'en' END, CASE WHEN arabic THEN 'rtl' ELSE 'ltr' END),
		E'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="robots" content="noindex">\n',
		-- without an address, so that the prefix of a proxy stays
		E'<meta http-equiv="refresh" content="' || words.refresh || E'">\n',
		format(E'<title>%s</title>\n', words.title),
		E'<style>:root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;font:1.05rem/1.6 system-ui,sans-serif;background:Canvas;color:CanvasText}',
		'main{box-sizing:border-box;width:calc(100% - 2rem);max-width:26rem;margin:1rem 0;padding:2rem 1.25rem;border:1px solid #8886;border-radius:1rem;text-align:center;overflow-wrap:anywhere}',
		'h1{font-size:1.5rem;line-height:1.3;margin:.5rem 0}.merchant{margin:0;opacity:.75}.amount{font-size:1.9rem;font-weight:600;margin:.5rem 0}',
		'dl{display:grid;grid-template-columns:auto auto;justify-content:center;gap:.25rem 1rem;margin:1rem 0}dt{text-align:end;opacity:.75}dd{margin:0;text-align:start}',
		E'a{display:inline-block;padding:.6rem 1.4rem;border:1px solid;border-radius:.6rem;color:inherit;text-decoration:none}</style>\n</head>\n<body><main>\n',
		E'<p class="merchant" dir="auto">' || merchant || E'</p>\n',
		format(E'<h1>%s</h1>\n', words.title),
		CASE WHEN words.amount THEN format(E'<p class="amount"><bdi dir="ltr">%s %s</bdi></p>\n', @extschema@.mf_bill_page_amount(value, b.currency), @extschema@.mf_html_escape(b.currency)) END,
		facts,
		format(E'<p>%s</p>\n', words.says),
		CASE WHEN state = 'later' THEN format(E'<p><a href="">%s</a></p>\n', CASE WHEN arabic THEN '&#1573;&#1593;&#1575;&#1583;&#1577; &#1575;&#1604;&#1605;&#1581;&#1575;&#1608;&#1604;&#1577;' ELSE 'Try again' END) END,
		E'</main></body>\n</html>\n'))::@extschema@.mf_response;
END
$$;
COMMENT ON FUNCTION mf_bill_page_draw(mf_bill, text) IS 'the page of a bill in a state: name of the merchant, amount and status';

--
-- Where a visitor is sent
--
-- An address to go on to, or a state of the page; null: something is to be done first.
CREATE FUNCTION mf_bill_in_progress(bill bigint, as_of timestamptz)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM @extschema@.mf_link k JOIN @extschema@.mf_invoice i ON i.id = k.invoice
		WHERE k.bill = mf_bill_in_progress.bill AND (i.payment_status = 'authorized' OR i.payment_status = 'unpaid'
			AND EXISTS (SELECT FROM @extschema@.mf_transaction t WHERE t.invoice = i.id AND t.transaction_status = 'InProgress' AND t.changed_at > as_of - interval '10 minutes')
			-- somebody has paid, or says so, and MyFatoorah has not been heard
			OR i.status NOT IN ('rejected', 'cancelled') AND EXISTS (SELECT FROM @extschema@.mf_event e
				WHERE e.invoice = i.id AND e.answered_at IS NULL AND coalesce(e.event_code, 1) IN (1, 5))))
$$;
COMMENT ON FUNCTION mf_bill_in_progress(bigint, timestamptz) IS 'whether a payment of any link of a bill is authorized, has been in progress for less than ten minutes, or may be what a webhook or callback tells of that MyFatoorah was not asked about yet';

CREATE FUNCTION mf_bill_page_look(bill bigint, as_of timestamptz)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill;
	live record;
BEGIN
	SELECT * INTO b FROM @extschema@.mf_bill t WHERE t.id = mf_bill_page_look.bill;
	IF b.status <> 'open' THEN
		RETURN b.status;
	ELSIF @extschema@.mf_bill_in_progress(b.id, as_of) THEN
		-- whichever link it is of: who pays another one pays twice
		RETURN 'unconfirmed';
	END IF;
	SELECT k.made_at, k.expires_at, i.status, i.payment_status, i.invoice_url, i.attempts, i.send_at INTO live
		FROM @extschema@.mf_link k JOIN @extschema@.mf_invoice i ON i.id = k.invoice WHERE k.bill = b.id AND k.live;
	IF live.expires_at > as_of THEN
		RETURN CASE WHEN live.status = 'sent' AND live.payment_status = 'unpaid' THEN
				CASE WHEN live.invoice_url ~ '^https?://[^[:cntrl:][:space:]]+$' AND octet_length(live.invoice_url) < 2000 THEN live.invoice_url
					WHEN live.invoice_url IS NOT NULL THEN 'later' END
			WHEN live.status = 'sent' AND live.payment_status = 'remote_cancelled' THEN 'later'
			-- it was paid, or has ended, and the books do not have it yet
			WHEN live.status = 'sent' THEN NULL
			WHEN live.status IN ('queued', 'sending') AND live.send_at > as_of THEN 'early'
			-- MyFatoorah is slow or away: it is sent in the end, but not while somebody looks at a page
			WHEN live.status IN ('rejected', 'cancelled') OR live.attempts > 1 OR live.made_at < as_of - interval '5 minutes' AND live.send_at < as_of - interval '5 minutes' THEN 'later'
			ELSE 'wait' END;
	ELSIF b.link_error IS NOT NULL AND (b.link_due IS NULL OR b.link_due > as_of) THEN
		RETURN 'later';
	ELSIF b.link_due > as_of AND (b.link_ahead > as_of) IS NOT TRUE THEN
		-- MyFatoorah is being asked about former links
		RETURN CASE WHEN b.link_tries > 5 THEN 'later' ELSE 'wait' END;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_bill_page_look(bigint, timestamptz) IS 'where the page of a bill sends a visitor, or what it shows; null: the bill needs a link first';

-- What was paid by any link of an open bill is booked, so that no visitor is sent to pay it again; false: it cannot be at the moment.
CREATE FUNCTION mf_bill_page_book(bill bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	locked bigint;
BEGIN
	IF NOT @extschema@.mf_bill_unbooked(mf_bill_page_book.bill) THEN
		RETURN true;
	END IF;
	-- the books may be what is still to be restored
	IF EXISTS (SELECT FROM @extschema@.mf_all_paused) THEN
		RETURN false;
	END IF;
	-- nobody waits for a lock: whoever has it is changing the bill, or books
	SELECT t.id INTO locked FROM @extschema@.mf_bill t WHERE t.id = mf_bill_page_book.bill FOR NO KEY UPDATE SKIP LOCKED;
	IF locked IS NOT NULL THEN
		PERFORM @extschema@.mf_bill_book(locked);
	END IF;
	RETURN locked IS NOT NULL;
EXCEPTION WHEN OTHERS THEN
	-- the core calls mf_billing_on_change() again, and tells of the error
	RETURN false;
END
$$;
COMMENT ON FUNCTION mf_bill_page_book(bigint) IS 'adds the receipts of what was paid by the links of a bill; false if they cannot be added at the moment';

-- The same; does what is to be done first, once at a time, and not for everybody who asks again and again.
CREATE FUNCTION mf_bill_page_state(bill bigint, as_of timestamptz)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state text;
	locked bigint;
BEGIN
	IF (SELECT t.status = 'open' FROM @extschema@.mf_bill t WHERE t.id = mf_bill_page_state.bill) AND NOT @extschema@.mf_bill_page_book(mf_bill_page_state.bill) THEN
		RETURN 'unconfirmed';
	END IF;
	state := @extschema@.mf_bill_page_look(mf_bill_page_state.bill, as_of);
	IF state IS NOT NULL THEN
		RETURN state;
	ELSIF EXISTS (SELECT FROM @extschema@.mf_all_paused) THEN
		-- the link would be sent beside that of the database that this one is a copy of
		RETURN 'later';
	END IF;
	-- whoever has locked it is changing it, or books what has come in
	SELECT t.id INTO locked FROM @extschema@.mf_bill t WHERE t.id = mf_bill_page_state.bill FOR NO KEY UPDATE SKIP LOCKED;
	IF locked IS NULL THEN
		RETURN 'wait';
	END IF;
	state := @extschema@.mf_bill_page_look(mf_bill_page_state.bill, as_of);
	IF state IS NOT NULL THEN
		RETURN state;
	END IF;
	PERFORM @extschema@.mf_bill_link_again(mf_bill_page_state.bill, as_of);
	state := @extschema@.mf_bill_page_look(mf_bill_page_state.bill, as_of);
	IF state IS NOT NULL THEN
		RETURN state;
	END IF;
	-- there is no link, and none is due; or one that was sent, and has no address
	IF (SELECT count(*) FROM @extschema@.mf_link k WHERE k.bill = mf_bill_page_state.bill AND k.made_at > as_of - interval '1 hour' AND k.made_at <= as_of) >= 3 THEN
		RETURN 'later';
	END IF;
	-- MyFatoorah may have said that it has expired, and the tick not have heard of it
	PERFORM @extschema@.mf_bill_renew(mf_bill_page_state.bill, as_of, CASE WHEN EXISTS (SELECT FROM @extschema@.mf_link k JOIN @extschema@.mf_invoice i ON i.id = k.invoice
		WHERE k.bill = mf_bill_page_state.bill AND k.live AND i.payment_status = 'expired') THEN 'expired' ELSE 'asked for by its page' END, NULL);
	RETURN coalesce(@extschema@.mf_bill_page_look(mf_bill_page_state.bill, as_of), 'wait');
END
$$;
COMMENT ON FUNCTION mf_bill_page_state(bigint, timestamptz) IS 'where the page of a bill sends a visitor, or what it shows, after it has had a link made if the bill needs one';

-- The first half of a token finds the row, by the index.  The second half is compared by a hash, so that the time it takes tells nothing of it.
CREATE FUNCTION mf_bill_page_at(token text, as_of timestamptz)
RETURNS mf_response
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
	found_bill bigint;
	b @extschema@.mf_bill;
	state text;
BEGIN
	IF token ~ '^[0-9a-f]{32}$' THEN
		SELECT t.id INTO found_bill FROM @extschema@.mf_bill t
			WHERE t.token >= left(mf_bill_page_at.token, 16) AND t.token < left(mf_bill_page_at.token, 16) || 'g'
				AND sha256(t.token::bytea) = sha256(mf_bill_page_at.token::bytea);
	END IF;
	IF found_bill IS NULL THEN
		-- in the words of the listener, so that it is like any other address that leads nowhere
		RETURN ROW(404, 'text/plain', NULL, E'Not Found\n')::@extschema@.mf_response;
	END IF;
	state := @extschema@.mf_bill_page_state(found_bill, as_of);
	IF state ~ '^https?://' THEN
		RETURN ROW(303, NULL, state, '')::@extschema@.mf_response;
	END IF;
	SELECT * INTO b FROM @extschema@.mf_bill t WHERE t.id = found_bill;
	RETURN @extschema@.mf_bill_page_draw(b, state);
END
$$;
COMMENT ON FUNCTION mf_bill_page_at(text, timestamptz) IS 'what /pay/TOKEN answers at that time';

CREATE FUNCTION mf_bill_page(path text)
RETURNS mf_response
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.mf_bill_page_at(mf_bill_page.path, clock_timestamp()) $$;
COMMENT ON FUNCTION mf_bill_page(text) IS 'answers /pay/TOKEN of the listener, by mf_on_request()';
