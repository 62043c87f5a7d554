# Runs a program in a container: sh -c "$(cat exec.sh)" PROGRAM ARGUMENT…
# Its stdin is framed: a length, a line feed and that many bytes, repeatedly; "end" closes the program's stdin.
#
# docker exec forwards no signals. When the client on the host is killed, this script sees only the end of its
# stdin. Two processes watch each other:
#   left   unpacks the frames. When stdin ends, with or without the frame "end", it kills the shell that waits
#          for right. A program may stop reading before its input ends: the rest of the input is thrown away.
#   right  runs the program, passes its exit code on and kills left. When left is already gone, the input may
#          have been cut short, so the exit code is 125.
#
# In most images the server is process 1 and inherits orphaned processes. When one of those is killed by a
# signal, or ends with a code other than 0 or 1, PostgreSQL takes it for a crashed backend and ends every
# session. So each process here is killed only by its own parent, and dd and cat must not die of a broken pipe.

unset PGCLIENTENCODING PGHOSTADDR PGOPTIONS PGSERVICE
dd bs=1 count=1 iflag=fullblock </dev/null >/dev/null 2>&1 || {
  echo 'dd does not work here; it is needed to pass input to the program' >&2
  exit 69
}
exec 4<&0
trap 'over=1; [ -z "$right" ] || kill $right' TERM
{
  trap '' PIPE
  sh -c 'echo $PPID'  # the process id of left, for right
  while IFS= read -r n; do
    if [ "$n" = end ]; then exec >/dev/null
    else
      dd bs="$n" count=1 iflag=fullblock 2>/dev/null || case $? in
        1) exec >/dev/null ;;
        *) break ;;
      esac
    fi
  done <&4
  kill $$
  sleep 4 2>/dev/null  # holds the program's stdin open until the program has ended
} | {
  exec 5<&0 4<&-
  read -r left
  "$0" "$@" <&5 5<&- & n=$!
  exec 5<&-
  trap 'kill -INT $n; sleep 1; kill $n 2>/dev/null; sleep 1; kill -KILL $n 2>/dev/null' TERM
  while wait $n; code=$?; kill -0 $n 2>/dev/null; do :; done
  # a process that has ended can be sent signals until its parent has taken notice of it
  { read -r state <"/proc/$left/stat"; } 2>/dev/null && case $state in *') Z '* | *') X '*) code=125 ;; esac
  kill -KILL $left 2>/dev/null || code=125
  printf '\n%s\n' "ended with $code" >&2
  exit $code
} & right=$!
exec 4<&- 2>/dev/null  # else the shell reports killed jobs after the program's last line
[ -z "$over" ] || kill $right
while wait $right; code=$?; kill -0 $right 2>/dev/null; do :; done
exit $code
