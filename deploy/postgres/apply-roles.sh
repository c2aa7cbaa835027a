#!/bin/sh
# Applies roles.sql and gives the logins the passwords that are in their connection URIs. Before the first migration and
# after each one; running it again changes nothing, and with new URIs it changes the passwords.
set -eu
export PGHOST=postgres PGUSER=postgres PGDATABASE=ringover PGOPTIONS=--client-min-messages=warning
PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD
psql --quiet --no-psqlrc --single-transaction --set ON_ERROR_STOP=1 --file /roles.sql
for role in migrator processor operator; do
    uri=$(cat "/run/secrets/${role}_database_url")
    password=${uri#*://*:}
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 <<SQL
\set password '${password%%@*}'
ALTER ROLE ringover_$role PASSWORD :'password';
SQL
done
echo "roles applied"
