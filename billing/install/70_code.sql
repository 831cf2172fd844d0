--
-- Codes, and the address of a bill
--
CREATE FUNCTION mf_qr(text text, format text DEFAULT 'utf8', level text DEFAULT 'M')
RETURNS text
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_qr(text, text, text) IS 'a QR code of a text: format utf8 for a dark terminal, utf8i for a light one, svg for pages and paper; level L, M, Q or H of error correction';

-- Tag, length and value of a field: the length is a byte, and counts bytes
CREATE FUNCTION mf_zatca_field(tag integer, name text, value text)
RETURNS bytea
LANGUAGE plpgsql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bytes constant bytea := convert_to(value, 'UTF8');
BEGIN
	IF length(bytes) > 255 THEN
		RAISE EXCEPTION '% is too long', name USING ERRCODE = 'string_data_right_truncation', COLUMN = name,
			DETAIL = format('It has %s bytes in UTF-8; the limit is 255.', length(bytes)), HINT = 'Shorten it: an Arabic letter has two bytes.';
	END IF;
	RETURN set_byte(set_byte('\x0000', 0, tag), 1, length(bytes)) || bytes;
END
$$;
COMMENT ON FUNCTION mf_zatca_field(integer, text, text) IS 'one field of mf_zatca_qr()';

CREATE FUNCTION mf_zatca_qr(seller text, vat_number text, issued_at timestamptz, total numeric, vat numeric)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing constant text := CASE WHEN seller IS NULL THEN 'seller' WHEN vat_number IS NULL THEN 'vat_number' WHEN issued_at IS NULL THEN 'issued_at' END;
BEGIN
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION '% must not be null', missing USING ERRCODE = 'null_value_not_allowed', COLUMN = missing;
	ELSIF btrim(seller) = '' THEN
		RAISE EXCEPTION 'seller must not be empty' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'seller', HINT = 'Give the name that is registered for VAT.';
	ELSIF vat_number !~ '^3[0-9]{13}3$' THEN
		RAISE EXCEPTION 'invalid value for vat_number: "%"', left(vat_number, 60) USING ERRCODE = 'invalid_parameter_value', COLUMN = 'vat_number',
			HINT = 'A VAT number of Saudi Arabia has 15 digits; the first and the last are 3.';
	ELSIF issued_at < '0001-01-01 00:00+00' OR issued_at >= '10000-01-01 00:00+00' THEN
		RAISE EXCEPTION 'issued_at is out of range' USING ERRCODE = 'datetime_field_overflow', COLUMN = 'issued_at', DETAIL = format('It is %s.', issued_at);
	END IF;
	PERFORM @extschema@.mf_check_amount('total', total, 'SAR', 'at least 0');
	PERFORM @extschema@.mf_check_amount('vat', vat, 'SAR', 'at least 0');
	IF vat > total THEN
		RAISE EXCEPTION 'vat is more than total' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'vat',
			DETAIL = format('It is %s, and total is %s.', vat, total), HINT = 'Give a total that includes the tax.';
	END IF;
	-- encode() breaks lines
	RETURN replace(encode(@extschema@.mf_zatca_field(1, 'seller', btrim(seller))
		|| @extschema@.mf_zatca_field(2, 'vat_number', vat_number)
		|| @extschema@.mf_zatca_field(3, 'issued_at', to_char(issued_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
		|| @extschema@.mf_zatca_field(4, 'total', round(total, 2)::text)
		|| @extschema@.mf_zatca_field(5, 'vat', round(vat, 2)::text), 'base64'), E'\n', '');
END
$$;
COMMENT ON FUNCTION mf_zatca_qr(text, text, timestamptz, numeric, numeric) IS 'the text of the QR code on a simplified tax invoice of Saudi Arabia: Base64 of seller, VAT number, time in UTC, total with tax, and tax; for mf_qr()';

CREATE FUNCTION mf_pay_url(bill bigint)
RETURNS text
LANGUAGE plpgsql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	base constant text := rtrim(current_setting('myfatoorah.public_url', true), '/');
	token text;
BEGIN
	IF coalesce(base, '') = '' THEN
		RAISE EXCEPTION 'bills have no address, because myfatoorah.public_url is not set' USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = format('As a superuser: ALTER DATABASE %I SET myfatoorah.public_url = ''https://pay.example.com'', under which the listener is reached.', current_database());
	END IF;
	SELECT b.token INTO token FROM @extschema@.mf_bill b WHERE b.id = mf_pay_url.bill;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'bill % does not exist', mf_pay_url.bill USING ERRCODE = 'no_data_found', COLUMN = 'bill', HINT = 'Give mf_bill.id.';
	END IF;
	RETURN base || '/pay/' || token;
END
$$;
COMMENT ON FUNCTION mf_pay_url(bigint) IS 'the address of a bill, which leads to its live link as long as it is open, and tells that it was paid afterwards';
