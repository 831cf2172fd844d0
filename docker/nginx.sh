#!/bin/sh
# Entry point of the image "nginx". Makes a certificate that nobody trusts, unless one is mounted at these places.
set -eu

certificate=/etc/ssl/pay.example.com.crt
key=/etc/ssl/private/pay.example.com.key
if [ ! -e "$certificate" ]
then
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
		-keyout "$key" -out "$certificate" 2>/dev/null
fi
exec "$@"
