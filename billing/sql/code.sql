-- mf_qr, mf_zatca_qr, mf_pay_url: what they refuse, and what can be checked without a reader (t/154_codes.pl has one)
\pset format unaligned
-- The example of ZATCA's own guide
SELECT mf_zatca_qr('Bobs Records', '310122393500003', '2022-04-25 15:30:00Z', 1000.00, 150.00) =
	'AQxCb2JzIFJlY29yZHMCDzMxMDEyMjM5MzUwMDAwMwMUMjAyMi0wNC0yNVQxNTozMDowMFoEBzEwMDAuMDAFBjE1MC4wMA==' AS as_zatca_has_it;
-- Lengths are bytes; times are UTC, whatever the zone of the session, and have no fractions
SET timezone = 'Asia/Riyadh';
SELECT encode(substr(decode(mf_zatca_qr('شركة', '310122393500003', '2026-01-01 02:30:00.75+03', 1, 0), 'base64'), 1, 2), 'hex') AS four_letters,
	convert_from(substr(decode(mf_zatca_qr('شركة', '310122393500003', '2026-01-01 02:30:00.75+03', 1, 0), 'base64'), 30), 'UTF8') AS rest;
RESET timezone;
SELECT length(decode(mf_zatca_qr(repeat('x', 255), '310122393500003', 'epoch', 999999999999.99, 0), 'base64')), position(E'\n' IN mf_zatca_qr(repeat('x', 255), '310122393500003', 'epoch', 1, 0)) AS lines;
SELECT mf_test.try($$SELECT mf_zatca_qr(repeat('x', 256), '310122393500003', 'epoch', 1, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr(repeat('ش', 128), '310122393500003', 'epoch', 1, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr(NULL, '310122393500003', 'epoch', 1, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('  ', '310122393500003', 'epoch', 1, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('A', '31012239350000', 'epoch', 1, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('A', E'310122393500003\n', 'epoch', 1, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('A', '310122393500003', NULL, 1, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('A', '310122393500003', 'infinity', 1, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('A', '310122393500003', 'epoch', NULL, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('A', '310122393500003', 'epoch', 'NaN', 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('A', '310122393500003', 'epoch', 1.001, 0)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('A', '310122393500003', 'epoch', 1, 1.15)$$);
SELECT mf_test.try($$SELECT mf_zatca_qr('A', '310122393500003', 'epoch', 1, -0.15)$$);

-- Codes: the smallest has 21 modules, and four of light on each side
SELECT substr(mf_qr('1', 'svg'), 1, 120);
SELECT count(*) AS lines, min(length(l)) AS columns, max(length(l)) FROM regexp_split_to_table(mf_qr('1'), E'\n') l;
SELECT string_agg(DISTINCT encode(convert_to(c, 'UTF8'), 'hex'), ' ' ORDER BY encode(convert_to(c, 'UTF8'), 'hex')) AS letters FROM regexp_split_to_table(mf_qr('1'), '') c;
-- what one draws, the other does not
SELECT translate(split_part(mf_qr('1'), E'\n', 3), ' ▀▄█', '#') = translate(split_part(mf_qr('1', 'utf8i'), E'\n', 3), '█▄▀ ', '#') AS inverted;
SELECT mf_qr(NULL) IS NULL AS none;
SELECT mf_test.try($$SELECT mf_qr('')$$);
SELECT mf_test.try($$SELECT mf_qr('a', 'png')$$);
SELECT mf_test.try($$SELECT mf_qr('a', 'svg', 'm')$$);
SELECT level, length(mf_qr(repeat('a', capacity), 'svg', level)) > 0 AS holds, mf_test.try(format('SELECT length(mf_qr(repeat(''a'', %s), ''svg'', %L))', capacity + 1, level))
	FROM (VALUES ('L', 2953), ('M', 2331), ('Q', 1663), ('H', 1273)) v(level, capacity);
-- a text that is not ASCII is marked, which takes a byte
SELECT level, length(mf_qr(repeat('a', capacity - 3) || chr(233), 'svg', level)) > 0 AS holds,
	mf_test.try(format('SELECT length(mf_qr(repeat(''a'', %s) || chr(233), ''svg'', %L))', capacity - 2, level))
	FROM (VALUES ('L', 2953), ('M', 2331), ('Q', 1663), ('H', 1273)) v(level, capacity);
-- level L is no way out for what it does not hold either
SELECT mf_test.try($$SELECT mf_qr(repeat('a', 2953), 'svg', 'M')$$), mf_test.try($$SELECT mf_qr(repeat('a', 2954), 'svg', 'M')$$);

-- The address of a bill
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_reader;
RESET client_min_messages;
CREATE ROLE regress_mf_reader IN ROLE myfatoorah_read;
BEGIN;
INSERT INTO mf_bill (customer_name, total, bill_key) VALUES ('Ahmad', 3, 'address');
SELECT id AS bill FROM mf_bill WHERE bill_key = 'address' \gset
SELECT mf_test.try(format('SELECT mf_pay_url(%s)', :bill));
SET LOCAL myfatoorah.public_url = 'https://pay.example.com/prefix';
SET ROLE regress_mf_reader;
SELECT mf_pay_url(:bill) = 'https://pay.example.com/prefix/pay/' || token AS address FROM mf_bill WHERE id = :bill;
SELECT mf_pay_url(NULL) IS NULL AS none;
SELECT length(mf_qr(mf_pay_url(:bill), 'svg')) > 1000 AS code;
RESET ROLE;
SELECT mf_test.try('SELECT mf_pay_url(-1)');
ROLLBACK;
DROP ROLE regress_mf_reader;
