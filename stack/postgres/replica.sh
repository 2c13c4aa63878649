#!/bin/sh
# Copies the primary once, then follows it by streaming, asynchronously, and takes no writes.
# With the defect replica-late it receives everything and shows it 20 s later.
set -eu
umask 077
if [ ! -e "$PGDATA/copied" ]; then # a copy that broke off is begun again
  until find "$PGDATA" -mindepth 1 -delete &&
    pg_basebackup --pgdata="$PGDATA" --wal-method=stream --checkpoint=fast --write-recovery-conf \
      --dbname="host=$PRIMARY user=$PGUSER application_name=$(hostname)"; do
    sleep 1
  done
  chmod 0700 "$PGDATA"
  touch "$PGDATA/copied"
fi
case ",${DEFECTS:-}," in
  *,replica-late,*) delay=20s ;;
  *) delay=0 ;;
esac
# A network that was away for a moment is noticed within seconds, not after a minute.
exec postgres -c hba_file=/etc/postgresql/pg_hba.conf \
  -c wal_receiver_timeout=5s -c recovery_min_apply_delay="$delay"
