#!/bin/bash
# Entry point of the image "postgres". Makes the cluster at the first start, and becomes the server.
#
#   POSTGRES_PASSWORD           of the superuser postgres; needed at the first start
#   POSTGRES_DB                 a database to make then
#   MYFATOORAH_KEY              API key, for api_key_file '/run/myfatoorah/key'
#   MYFATOORAH_WEBHOOK_SECRET   for webhook_secret_file '/run/myfatoorah/webhook_secret'
#   /docker-entrypoint-initdb.d/*.sql   run at the first start, in that database
#
# Instead of each of the first four, NAME_FILE may name a file that holds the value, as secrets of a container do.
set -euo pipefail

volume=/var/lib/postgresql/data
# below the volume, so that it is there as a whole or not at all
PGDATA=$volume/cluster
run=/run/postgresql
as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups)

# value NAME: of the variable, or from the file that NAME_FILE names
value()
{
	local file=${1}_FILE

	if [ -n "${!file-}" ]
	then
		cat "${!file}"
	else
		printf '%s' "${!1-}"
	fi
}

# secret NAME FILE: the server reads no key that others can read, so it gets a file of its own, outside of its data
secret()
{
	local value

	value=$(value "$1")
	[ -n "$value" ] || return 0
	install -d -o postgres -g postgres -m 700 /run/myfatoorah
	install -o postgres -g postgres -m 600 /dev/null "/run/myfatoorah/$2"
	printf '%s\n' "$value" >"/run/myfatoorah/$2"
}

make_cluster()
{
	local new=$volume/cluster.new password database file secret=/run/postgres.password

	password=$(value POSTGRES_PASSWORD)
	[ -n "$password" ] || { echo "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" >&2; exit 1; }
	database=$(value POSTGRES_DB)
	rm -rf "$new"
	install -o postgres -m 600 /dev/null "$secret"
	printf '%s\n' "$password" >"$secret"
	"${as_postgres[@]}" initdb -D "$new" -U postgres -E UTF8 --auth-local=trust --auth-host=scram-sha-256 --pwfile="$secret"
	rm "$secret"
	echo "host all all all scram-sha-256" >>"$new/pg_hba.conf"
	printf '%s\n' "listen_addresses = '*'" "shared_preload_libraries = 'myfatoorah'" >>"$new/postgresql.conf"
	"${as_postgres[@]}" pg_ctl -D "$new" -w -o "-c listen_addresses= -c unix_socket_directories=$run" start
	if [ -n "$database" ] && [ "$database" != postgres ]
	then
		createdb -h "$run" -U postgres "$database"
	fi
	for file in /docker-entrypoint-initdb.d/*.sql
	do
		[ ! -e "$file" ] || psql -X -q -v ON_ERROR_STOP=1 -h "$run" -U postgres -d "${database:-postgres}" -f "$file"
	done
	"${as_postgres[@]}" pg_ctl -D "$new" -w -m fast stop
	mv "$new" "$PGDATA"
}

# another command than the server: docker run ... psql
[ "${1-}" = postgres ] || exec "$@"
shift

install -d -o postgres -g postgres -m 700 "$volume"
install -d -o postgres -g postgres -m 2775 "$run"
secret MYFATOORAH_KEY key
secret MYFATOORAH_WEBHOOK_SECRET webhook_secret
[ -e "$PGDATA/PG_VERSION" ] || make_cluster
unset POSTGRES_PASSWORD MYFATOORAH_KEY MYFATOORAH_WEBHOOK_SECRET
exec "${as_postgres[@]}" postgres -D "$PGDATA" -c "unix_socket_directories=$run" "$@"
