# Connects stdin and stdout to a TCP port: sh -c "$(cat tunnel.sh)" tunnel READY HOST PORT SECONDS
# Prints the line READY when it is connected. SECONDS limit the attempt, where the program can do that.
# Exit codes: 64 the server closed the connection, 69 the container has no program that speaks TCP, else failed.
#
# docker exec forwards no signals. When the client on the host is killed, this script sees only the end of its
# stdin, so each of these ends when either side does. OpenBSD's nc does not notice that the server has gone, so
# it is not used. Processes are killed only by their own parent, and those that may be orphaned end with 0 or 1:
# exec.sh has the reason.

has() { command -v "$1" >/dev/null 2>&1; }

if has bash && bash -c '((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] > 402))'; then
  exec bash -c '
    exec 3<>"/dev/tcp/$2/$3" || exit 1
    echo "$1"
    exec 4<&0
    cat <&4 >&3 & up=$!
    cat <&3 3>&- 4<&- & down=$!
    exec 3>&- 4<&-
    wait -n || wait -n  # a direction that fails leaves the other one time to pass on the last bytes
    kill $up $down 2>/dev/null
    wait
    exit 64' bash "$@"
elif has python3; then
  exec python3 -c '
import os, socket, sys, threading
try: s = socket.create_connection((sys.argv[2], int(sys.argv[3])), int(sys.argv[4]))
except OSError as e: sys.exit(str(e))
s.settimeout(None)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print(sys.argv[1], flush=True)
def up():
    try:
        while True:
            data = os.read(0, 1 << 16)
            if not data: os._exit(0)
            s.sendall(data)
    except OSError: pass
threading.Thread(target=up, daemon=True).start()
with open(1, "wb", buffering=0, closefd=False) as out:
    try:
        while True:
            data = s.recv(1 << 16)
            if not data: break
            while data: data = data[out.write(data):]
    except OSError: pass
os._exit(64)' "$@"
elif has perl && perl -MIO::Socket::INET -e 1 2>/dev/null; then
  exec perl -MIO::Socket::INET -e '
my ($ready, $host, $port, $seconds) = @ARGV;
my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => $seconds)
    or die "$host port $port: $@\n";
sub copy {
    my ($from, $to) = @_;
    while (my $n = sysread($from, my $data, 65536)) {
        my $done = 0;
        while ($done < $n) {
            my $w = syswrite($to, $data, $n - $done, $done);
            return 0 unless defined $w;
            $done += $w;
        }
    }
    return 1;
}
syswrite(STDOUT, "$ready\n");
$SIG{PIPE} = "IGNORE";
my $parent = $$;
my $up = fork // die "fork: $!\n";
if (!$up) { copy(\*STDIN, $s) and kill "KILL", $parent; exit 0; }
copy($s, \*STDOUT);
kill "KILL", $up;
waitpid $up, 0;
exit 64;' "$@"
elif nc=nc; has nc && ! nc -h 2>&1 | grep -q OpenBSD || { nc="busybox nc"; has busybox; }; then
  echo "$1"
  exec 4<&0
  trap 'over=1; [ -z "$right" ] || kill $right' TERM
  { trap '' PIPE; sh -c 'echo $PPID'; cat <&4 2>/dev/null; kill $$; } | {
    exec 5<&0 4<&-
    read -r left
    $nc "$2" "$3" <&5 5<&- & n=$!
    exec 5<&-
    trap 'kill $n' TERM
    while wait $n; code=$?; kill -0 $n 2>/dev/null; do :; done
    kill -KILL $left
    [ $code = 0 ] && exit 64
    exit $code
  } & right=$!
  exec 4<&- 2>/dev/null
  [ -z "$over" ] || kill $right
  while wait $right; code=$?; kill -0 $right 2>/dev/null; do :; done
  exit $code
else
  exit 69
fi
