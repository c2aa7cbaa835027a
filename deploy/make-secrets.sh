#!/bin/sh
# Makes what docker-compose.yml reads as secrets, in secrets/ beside it: once, random, never shown. What is there stays.
# The directory is for its owner only; the files in it can be read by the containers' users, into which they are mounted.
set -eu
cd "$(dirname "$0")/.."
umask 022
mkdir -p secrets
chmod 700 secrets

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { # NAME VALUE
    if [ ! -e "secrets/$1" ]; then
        printf '%s\n' "$2" >"secrets/$1.new"
        mv "secrets/$1.new" "secrets/$1"
    fi
}

keep ingress_hmac_secrets "compose:$(random)"
keep postgres_password "$(random)"
for role in migrator processor operator; do
    keep "${role}_database_url" "postgresql://ringover_$role:$(random)@postgres:5432/ringover"
done
keep grafana_admin_password "$(random)"
echo "secrets/:" && ls secrets
