package Echolab;

# What the tests share: names of checks, programs started in the background, their logs, sockets
# to them.
# Every wait has an end; every process is ended by its id.

use strict;
use warnings;
use feature 'state';
use Exporter 'import';
use File::Temp qw(tempdir);
use IO::Socket::IP;
use POSIX qw(WNOHANG);
use Socket qw(:all);
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
    group has_command write_file free_port rss_kib queue_connections count_served send_unread
    start_program start_server log_of wait_for wait_for_log exit_of stop_program shortest
    wait_for_handler
    connect_to send_all receive receive_until_eof echo_of half_close reset_connection
    run_program slurp temp_dir cpu_seconds open_fds odd_server enter_own_network
);

# build/ or build/asan/: which flavour of the programs is tested.
our $build = $ENV{ECHOLAB_BUILD} // 'build';

# The programs' sandbox where the test or its configuration says nothing: with `on` a kernel
# that cannot do all of it fails the test.
my $sandbox = $ENV{ECHOLAB_SANDBOX};
our $dir;        # of temp_dir()
our %running;    # pid => program, of those not waited for
my $count = 0;

$SIG{PIPE} = 'IGNORE';

END {
    my $status = $?;
    for my $pid (keys %running) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
    $? = $status;
}

# group 'a full table' => sub { ... }; names each check in it 'a full table: ...', so that a line
# that fails says by itself what does not hold. Groups may stand in groups, and in SKIP blocks.
our @groups;

sub group {
    my ($name, $code) = @_;
    local @groups = (@groups, $name);
    $code->();
    return;
}

# All checks of Test::More end in this one method.
{
    no warnings 'redefine';
    my $ok = \&Test::Builder::ok;
    *Test::Builder::ok = sub {
        my ($builder, $holds, $name) = @_;
        @_ = ($builder, $holds, join ': ', @groups, $name // ());
        goto &$ok;    # no frame of ours: a failure has the place of the test's own line
    };
}

sub has_command { my ($name) = @_; return scalar grep { -x "$_/$name" } split /:/, $ENV{PATH} }

# A folder for the test's files, made when it is first needed, removed at its end.
sub temp_dir { return $dir //= tempdir(CLEANUP => 1) }

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or return '';
    local $/;
    my $text = <$file>;
    return $text // '';
}

# Writes bytes into a file, whose folder is made if need be. Returns its path.
sub write_file {
    my ($path, $bytes) = @_;
    my $folder = $path =~ s{/[^/]*$}{}r;
    -d $folder || system('mkdir', '-p', $folder) == 0 or die;
    open my $file, '>:raw', $path or die "$path: $!";
    print $file $bytes;
    close $file or die "$path: $!";
    return $path;
}

# start_program([arguments], env => {...}, wrap => [...]) runs it in the background, its
# stdout and stderr in files.
sub start_program {
    my ($command, %how) = @_;
    my $n   = ++$count;
    my %p   = (out => temp_dir() . "/out.$n", err => temp_dir() . "/err.$n");
    my $out = $how{stdout} // $p{out};
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN,  '<', '/dev/null' or die;
        open STDOUT, '>', $out    or die if !ref $out;
        open STDOUT, '>&', $out   or die if ref $out;
        open STDERR, '>', $p{err} or die;
        delete @ENV{grep { /^(SERVER|CLI)_/ } keys %ENV};
        @ENV{ 'SERVER_SANDBOX', 'CLI_SANDBOX' } = ($sandbox, $sandbox) if defined $sandbox;
        %ENV = (%ENV, %{ $how{env} // {} });
        $SIG{PIPE} = 'DEFAULT';
        # LeakSanitizer cannot work in a traced process.
        $ENV{ASAN_OPTIONS} = 'detect_leaks=0' if grep { $_ eq 'strace' } @{ $how{wrap} // [] };
        exec @{ $how{wrap} // [] }, @$command or POSIX::_exit(127);
    }
    $p{pid} = $pid;
    my $program = \%p;
    $running{$pid} = $program;
    return $program;
}

sub log_of { my ($program) = @_; return slurp($program->{out}) }

# Waits until the code gives a true value, which is returned; undef after the time.
sub wait_for {
    my ($code, $seconds) = @_;
    my $end = time + ($seconds // 15);
    for (my $pause = 0.001;; $pause *= 1.5) {
        my $value = $code->();
        return $value if $value;
        return undef if time > $end;
        sleep($pause < 0.02 ? $pause : 0.02);
    }
}

# The shortest of the times that $measure->() returns, for a demand that a busy machine may spoil
# now and then: a program that is late is late each time. The first one below the limit is enough.
sub shortest {
    my ($limit, $measure) = @_;
    my $shortest;
    for (1 .. 5) {
        my $took = $measure->();
        $shortest = $took if !defined $shortest || $took < $shortest;
        last if $shortest < $limit;
    }
    return $shortest;
}

sub wait_for_log {
    my ($program, $pattern, $seconds) = @_;
    return wait_for(sub { log_of($program) =~ $pattern ? ($1 // 1) : 0 }, $seconds);
}

# Waits until a program handles SIGTERM, as it does not yet when it has just been started.
sub wait_for_handler {
    my ($program) = @_;
    my $caught = sub { slurp("/proc/$program->{pid}/status") =~ /^SigCgt:\s+\w*(\w{4})$/m ? hex $1 : 0 };
    return wait_for(sub { $caught->() & 1 << POSIX::SIGTERM() - 1 });
}

# start_server(option => value...) on a free port; _env, _wrap as for start_program.
sub start_server {
    my (%options) = @_;
    my $env  = delete $options{_env}  // {};
    my $wrap = delete $options{_wrap} // [];
    my $out  = delete $options{_stdout};
    my @arguments = map { ("--$_", $options{$_}) } sort keys %options;
    push @arguments, '--port', 0 if !exists $options{port};
    my $server = start_program(["$build/echo-server", @arguments],
        env => $env, wrap => $wrap, stdout => $out);
    return $server if defined $out;
    $server->{port} = wait_for_log($server, qr/listening on \S*:(\d+)/)
        // die "the server did not start: " . slurp($server->{err}) . log_of($server);
    return $server;
}

# The exit code, waiting for it at most so long; undef: it still runs. 128 + signal if killed.
sub exit_of {
    my ($program, $seconds) = @_;
    return $program->{code} if exists $program->{code};
    wait_for(sub { waitpid($program->{pid}, WNOHANG) == $program->{pid} }, $seconds // 30)
        or return undef;
    delete $running{ $program->{pid} };
    $program->{code} = ($? & 127) ? 128 + ($? & 127) : $? >> 8;
    return $program->{code};
}

sub stop_program {
    my ($program, $seconds) = @_;
    kill 'TERM', $program->{pid};
    return exit_of($program, $seconds);
}

# run_program([command], env, seconds): (exit code, stdout, stderr).
sub run_program {
    my ($command, %how) = @_;
    my $program = start_program($command, %how);
    my $code    = exit_of($program, $how{seconds});
    if (!defined $code) {
        kill 'KILL', $program->{pid};
        exit_of($program);
        $code = 'still running';
    }
    return ($code, log_of($program), slurp($program->{err}));
}

# A port that was free a moment ago, and is none of those that connections of other tests get.
sub free_port {
    state $next = $$ * 7919 + int(time * 1000);
    for (1 .. 100) {
        my $port = 10000 + $next++ % 20000;
        return $port if IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $port, Listen => 1);
    }
    die 'no port is free';
}

sub connect_to {
    my ($port, %how) = @_;
    my $socket = IO::Socket::IP->new(
        PeerHost => $how{host} // '127.0.0.1', PeerPort => $port,
        Type => SOCK_STREAM, Timeout => $how{timeout} // 5) or return undef;
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    $socket->blocking(1);
    return $socket;
}

sub send_all {
    my ($socket, $bytes) = @_;
    my $sent = 0;
    while ($sent < length $bytes) {
        my $n = syswrite $socket, $bytes, length($bytes) - $sent, $sent;
        return $sent if !defined $n;
        $sent += $n;
    }
    return $sent;
}

# Up to $length bytes, until EOF, an error, or $seconds without any.
sub receive {
    my ($socket, $length, $seconds) = @_;
    my $bytes = '';
    while (length $bytes < $length) {
        my $ready = '';
        vec($ready, fileno $socket, 1) = 1;
        select($ready, undef, undef, $seconds // 5) or last;
        my $left = $length - length $bytes;
        my $n    = sysread $socket, $bytes, $left < 65536 ? $left : 65536, length $bytes;
        last if !$n;
    }
    return $bytes;
}

sub receive_until_eof { my ($socket, $seconds) = @_; return receive($socket, 1 << 40, $seconds) }

sub echo_of {
    my ($socket, $bytes) = @_;
    send_all($socket, $bytes);
    return receive($socket, length $bytes);
}

sub half_close { my ($socket) = @_; return shutdown $socket, SHUT_WR }

# Connections that sent a message each and half-closed; where the server does not accept, they
# wait in its backlog.
sub queue_connections {
    my ($port, $number) = @_;
    my @queued = map { connect_to($port) } 1 .. $number;
    send_all($queued[$_], "queued $_") for 0 .. $#queued;
    half_close($_) for @queued;
    return @queued;
}

# How many of them got their own message back, and then the end.
sub count_served {
    my (@queued) = @_;
    return scalar grep { receive_until_eof($queued[$_]) eq "queued $_" } 0 .. $#queued;
}

# Sends to all until nothing has moved for 0.4 s or $most bytes are gone, and never reads. Returns
# how many bytes went.
sub send_unread {
    my ($most, @sockets) = @_;
    my ($sent, $idle, $block) = (0, 0, 'z' x (1 << 20));
    $_->blocking(0) for @sockets;
    while ($sent < $most && $idle < 20) {
        my $moved = 0;
        for my $s (@sockets) { $moved += syswrite($s, $block) // 0 }
        $sent += $moved;
        $idle = $moved ? 0 : $idle + 1;
        sleep 0.02 if !$moved;
    }
    return $sent;
}

# close() with SO_LINGER 0 sends RST (socket(7)).
sub reset_connection {
    my ($socket) = @_;
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    return close $socket;
}

# User and system time of a process so far.
sub cpu_seconds {
    my ($pid) = @_;
    my @fields = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\) //r;
    return ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Its resident memory.
sub rss_kib { my ($pid) = @_; return (slurp("/proc/$pid/status") =~ /VmRSS:\s+(\d+)/)[0] }

sub open_fds { my ($pid) = @_; my @fds = glob "/proc/$pid/fd/*"; return scalar @fds }

# A server of one behaviour, $behave->(socket) for one connection after the other, in a process
# of its own.
sub odd_server {
    my ($behave) = @_;
    my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 16, ReuseAddr => 1) or die;
    my $pid = fork // die;
    if ($pid == 0) {
        alarm 30;
        while (my $s = $listener->accept) { $behave->($s); close $s }
        POSIX::_exit(0);
    }
    return $running{$pid} = { pid => $pid, port => $listener->sockport, out => '/dev/null' };
}

# Go on in a network namespace of the test's own, with a loopback and nothing else: floods fill
# no table of connection tracking, and rules of iptables concern nobody. With mounts => 1 in a
# mount namespace, too. Without namespaces all is skipped.
sub enter_own_network {
    my (%how) = @_;
    return if $ENV{ECHOLAB_OWN_NETWORK};
    my @own = ('unshare', ($> == 0 ? () : '-r'), '-n', $how{mounts} ? '-m' : ());
    Test::More::plan(skip_all => 'no namespaces here') if system("@own true 2>/dev/null") != 0;
    $ENV{ECHOLAB_OWN_NETWORK} = 1;
    exec @own, 'sh', '-c', 'ip link set lo up && exec "$0" -Itest/lib "$@"', $^X, $0 or die;
}

1;
