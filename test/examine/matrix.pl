#!/usr/bin/perl
# Examines every echo server that is installed here with `echo-client --examine`, and prints the
# matrix of checks and servers as docs/examine.md has it.
#
#   matrix.pl [--write] [SERVER...]        all servers, or those named; --write: into the page
#
# The peers of the benchmark are there after `make build/bench/peers`. Each server runs on a
# loopback port of its own and is ended, with all that it started, before the next one.
# Exit: 0; 1 a server that is there did not start; 2 usage.
use strict;
use warnings;
use FindBin;
use IO::Socket::IP;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

chdir "$FindBin::Bin/../.." or die "matrix: $!\n";
my ($begin, $end) = ("<!-- matrix: written by test/examine/matrix.pl --write -->\n", "<!-- end of matrix -->\n");
my $page  = 'docs/examine.md';
my $write = @ARGV && $ARGV[0] eq '--write' && shift;

# Name, what tells that it is there, the command; PORT stands for the port, FOLDER for the
# folder of its files.
my @servers = (
    ['echo-server', 'build/echo-server',              'exec build/echo-server --address 127.0.0.1 --port PORT'],
    ['exercise',    'python3',                        'exec python3 test/examine/exercise_server.py PORT'],
    ['socat',       'socat',                          'exec socat TCP-LISTEN:PORT,bind=127.0.0.1,reuseaddr,fork EXEC:cat'],
    ['ncat',        'ncat',                           'exec ncat -lk 127.0.0.1 PORT -e /bin/cat'],
    ['xinetd',      'xinetd',                         'exec xinetd -dontfork -f FOLDER/xinetd.conf -pidfile FOLDER/xinetd.pid'],
    ['busybox nc',  'busybox',                        'exec busybox nc -ll -p PORT -e cat'],
    ['libuv',       'build/bench/uv_echo',            'exec build/bench/uv_echo PORT'],
    ['libevent',    'build/bench/event_echo',         'exec build/bench/event_echo PORT'],
    ['go',          'build/bench/go_echo',            'exec build/bench/go_echo PORT'],
    ['node',        'node',                           'exec node test/bench/peers/node_echo.js PORT'],
    ['asyncio',     'python3',                        'exec python3 test/bench/peers/asyncio_echo.py PORT'],
);
my %known = map { $_->[0] => 1 } @servers;
for (@ARGV) {
    next if $known{$_};
    print STDERR "matrix: '$_' is no server; allowed: ", join(', ', map { $_->[0] } @servers), "\n";
    exit 2;
}
my %wanted = map { $_ => 1 } @ARGV;

my $group;    # of the server that runs
$SIG{INT} = $SIG{TERM} = sub { exit 1 };
END { my $status = $?; kill 'KILL', -$group if $group; $? = $status }

sub is_there { my ($what) = @_; return $what =~ m{/} ? -x $what : scalar grep { -x "$_/$what" } split /:/, "$ENV{PATH}:/usr/sbin" }

sub free_port { return IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1)->sockport }

sub write_xinetd_conf {
    my ($folder, $port) = @_;
    open my $file, '>', "$folder/xinetd.conf" or die "matrix: $folder: $!\n";
    print $file "defaults\n{\n instances = UNLIMITED\n cps = 10000 1\n log_type = FILE $folder/xinetd.log\n}\n",
        "service echo\n{\n type = INTERNAL UNLISTED\n id = echo-stream\n socket_type = stream\n protocol = tcp\n",
        " user = root\n wait = no\n port = $port\n bind = 127.0.0.1\n}\n";
    close $file or die "matrix: $folder: $!\n";
    return;
}

# Without a connection, which would be one to serve. Listeners stand before all others.
sub listens {
    my ($port) = @_;
    my $hex = sprintf ':%04X', $port;
    for my $table ('/proc/net/tcp', '/proc/net/tcp6') {
        open my $file, '<', $table or next;
        while (my $line = <$file>) {
            my ($local, $state) = $line =~ /^\s*\d+: [0-9A-F]+(:[0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) / or next;
            last if $state ne '0A';
            return 1 if $local eq $hex;
        }
    }
    return 0;
}

# Starts it, waits until it listens. Returns the port.
sub start {
    my ($command, $folder) = @_;
    my $port = free_port();
    write_xinetd_conf($folder, $port);
    $command =~ s/PORT/$port/g;
    $command =~ s/FOLDER/$folder/g;
    my $pid = fork // die "matrix: fork: $!\n";
    if ($pid == 0) {
        POSIX::setpgid(0, 0);
        $ENV{PATH} .= ':/usr/sbin';
        open STDIN,  '<', '/dev/null'     or die;
        open STDOUT, '>', "$folder/log"   or die;
        open STDERR, '>&', \*STDOUT       or die;
        exec 'sh', '-c', $command or POSIX::_exit(127);
    }
    POSIX::setpgid($pid, $pid);
    $group = $pid;
    for (1 .. 500) {
        return $port if listens($port);
        sleep 0.02;
    }
    return;
}

sub stop {
    kill 'KILL', -$group;
    waitpid $group, 0;
    undef $group;
    return;
}

sub examine {
    my ($port, @options) = @_;
    return decode_json(`build/echo-client --examine 127.0.0.1:$port --idle 2s --timeout 5s --json @options`);
}

my (%report, @done, $failed);
for (@servers) {
    my ($name, $what, $command) = @$_;
    next if %wanted && !$wanted{$name};
    if (!is_there($what)) {
        print STDERR "matrix: $name is not here ($what)\n";
        next;
    }
    chomp(my $folder = `mktemp -d`);
    my $t = time;
    if (my $port = start($command, $folder)) {
        my $found = examine($port);
        # A server that died is started again for each check that it did not see. The first one
        # may be where it died.
        my @unseen = grep { $_->{seen} =~ /no connection: Connection refused$/ } @{ $found->{checks} };
        for my $check (@unseen) {
            stop();
            $port = start($command, $folder) or next;
            my $alone = examine($port, '--check', $check->{id})->{checks}[0];
            %$check = %$alone if $check != $unseen[0] || $alone->{result} eq 'fail';
        }
        $report{$name} = $found;
        push @done, $name;
        printf STDERR "matrix: %s: examined in %.1f s\n", $name, time - $t;
    } else {
        print STDERR "matrix: $name does not start\n";
        $failed = 1;
    }
    stop();
    system 'rm', '-rf', $folder;
}
exit 1 if !@done;

my $matrix = '| check | ' . join(' | ', @done) . " |\n|---" . '|---' x @done . "|\n";
my $first = $report{ $done[0] };
for my $i (0 .. $#{ $first->{checks} }) {
    my @cells = map {
        my $c = $report{$_}{checks}[$i];
        $c->{result} eq 'fail' ? $c->{demanded} ? '**FAIL**' : 'note' : $c->{result}
    } @done;
    $matrix .= "| `$first->{checks}[$i]{id}` | " . join(' | ', @cells) . " |\n";
}
$matrix .= '| exit code | ' . join(' | ', map { $report{$_}{exit_code} } @done) . " |\n\n";
for my $name (@done) {
    my @traits = @{ $report{$name}{character} };
    $matrix .= "- $name: " . (@traits ? join ', ', @traits : 'nothing to tell') . "\n";
    $matrix .= "  - `$_->{id}`: $_->{seen}\n" for grep { $_->{result} eq 'fail' } @{ $report{$name}{checks} };
}
if (!$write) {
    print $matrix;
    exit($failed ? 1 : 0);
}
open my $in, '<', $page or die "matrix: $page: $!\n";
my $text = do { local $/; <$in> };
close $in;
$text =~ s/(\Q$begin\E).*(?=\Q$end\E)/$1$matrix/s or die "matrix: $page: no place for the matrix; allowed: a line $begin";
open my $out, '>', $page or die "matrix: $page: $!\n";
print $out $text;
close $out or die "matrix: $page: $!\n";
exit($failed ? 1 : 0);
