package Measure;

# The benchmark's measurements: a server on the first core, a load on the second, both in a
# network namespace of their own; what is compared is interleaved.
#
# A namespace of its own means: no packet filter, no connection tracking (whose table a few
# seconds of connect-and-close fill), no connections in TIME_WAIT from the measurement before.
#
# A load is a list: MODE, ACTIVE, IDLE, SIZE, SECONDS as test/bench/generator.c has them, or
#     probe, CONNECTIONS, 0, SIZE, SECONDS [, RATE]    of echo-client, which compares every byte
#
# The figures of one measurement are a hash; among them the server's CPU:
#     server_cpu_us    of all its threads, per message
#     server_busy      the share of a core
#     client_busy      the load's own share of its core: near 1, it is the limit and not the server
# The CPU is read from the process's clock (clock_getcpuclockid(3)), which counts nanoseconds; of
# a process that runs just then it is as new as the last tick, a few milliseconds old at most.

use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use JSON::PP;
use List::Util qw(max min);
use Time::HiRes qw(sleep clock_gettime CLOCK_MONOTONIC);

our @EXPORT = qw(start hold stop cpu_s measure interleave quotients median);

our %command;            # name of a server => its command, to which the port is appended
our $runs      = 5;
our $generator = 'build/bench/generator';
our $client    = 'build/echo-client';
my $port   = 12345;
my $warmup = 0.3;        # of echo-client
my %pids;

# As root, or in a user namespace.
my @user = $> == 0 ? () : ('--user', '--map-root-user');

$SIG{INT} = $SIG{TERM} = sub { exit 1 };
END { my $code = $?; kill 'KILL', keys %pids; $? = $code }

# Dies where no namespace can be made.
sub check_namespaces {
    system("unshare @user --net ip link set lo up") == 0
        or die "cannot make a network namespace: be root, or allow user namespaces\n";
    return;
}

# ---- processes -----------------------------------------------------------------------------

# Start a server on the first core, its output into the file $log; it answers when this returns.
sub start {
    my ($name, $log) = @_;
    my $pid = fork // die;
    if ($pid == 0) {
        open STDOUT, '>', $log // '/dev/null' or die;
        $ENV{GOMAXPROCS} = 1;
        exec 'unshare', @user, '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh',
            'taskset', '-c', 0, @{ $command{$name} }, $port or exit 127;
    }
    $pids{$pid} = 1;
    for (1 .. 500) {    # until it is in its namespace
        my $comm = `cat /proc/$pid/comm`;
        last if $comm !~ /^(perl|bench|unshare|sh|taskset)/;
        die "$name does not start\n" if $_ == 500;
        sleep 0.01;
    }
    # One echo: a program that is listening may still be starting.
    system(join(' ', generate($pid, 'hold', 0, 1, 1, 0), '>/dev/null')) == 0
        or die "$name does not answer\n";
    return $pid;
}

# The generator in the background holds so many idle connections for half a minute. Returns its
# process when all are there.
sub hold {
    my ($server, $connections) = @_;
    my $pid = open(my $output, '-|', generate($server, 'hold', 0, $connections, 64, 30)) or die;
    $pids{$pid} = $output;
    (readline($output) // '') =~ /^held=$connections$/ or die "no $connections idle connections\n";
    return $pid;
}

# End it; with a signal of its own where it has to end another, too.
sub stop {
    my ($pid, $signal) = @_;
    kill $signal // 'KILL', $pid;
    waitpid $pid, 0;
    delete $pids{$pid};
    return;
}

# A command in the server's namespace, on the second core.
sub beside { my ($pid, @program) = @_; return ('nsenter', '-t', $pid, '--net', @user ? ('--user', '--preserve-credentials') : (), 'taskset', '-c', 1, @program) }

# The generator's command.
sub generate {
    my ($pid, @load) = @_;
    return beside($pid, 'timeout', 120, $generator, $port, @load, $pid);
}

# The CPU time of all threads of a process, in seconds; undef: it is not there. The clock's number
# is the kernel's for a process (CPUCLOCK_SCHED).
sub cpu_s {
    my ($pid) = @_;
    my $s = clock_gettime((-$pid - 1) * 8 + 2);
    return $s >= 0 ? $s : undef;
}

# How many TCP sockets there are in the namespace of a process.
sub socket_count {
    my ($pid) = @_;
    my $count = 0;
    for my $file ('sockstat', 'sockstat6') {
        open my $f, '<', "/proc/$pid/net/$file" or next;
        $count += $1 if join('', <$f>) =~ /^TCP6?: inuse (\d+)/m;
    }
    return $count;
}

# The same once it no longer changes.
sub settled_socket_count {
    my ($pid) = @_;
    my ($count, $same) = (-1, 0);
    for (1 .. 200) {
        my $now = socket_count($pid);
        $same  = $now == $count ? $same + 1 : 0;
        $count = $now;
        last if $same == 3;
        sleep 0.005;
    }
    return $count;
}

# ---- one measurement -----------------------------------------------------------------------

# A fresh server. Returns its figures; undef, after a line on stderr, when there are none.
sub measure {
    my ($name, @load) = @_;
    return measure_by_client($name, @load) if $load[0] eq 'probe';
    my $log  = $name =~ /^log/ ? 'build/bench/log' : undef;
    my $pid  = start($name, $log);
    my $line = join ' ', 'exec', generate($pid, @load), '2>&1';
    $line = `$line`;
    stop($pid);
    unlink $log if $log;
    my %figures = $line =~ /(\w+)=([\d.]+)/g;
    print STDERR "$name @load: $line" if !%figures;
    return %figures ? \%figures : undef;
}

# On a busy machine the client may have ended before its CPU was looked at for the second time:
# then the measurement is made again.
sub measure_by_client {
    my ($name, @load) = @_;
    my ($figures, $said);
    for (1 .. 3) {
        ($figures, $said) = run_client($name, @load);
        return $figures if $figures;
    }
    print STDERR "$name @load: no figures: $said\n";
    return;
}

# Returns its figures, or undef and what the client said.
sub run_client {
    my ($name, undef, $connections, undef, $size, $duration, $rate) = @_;
    my $server  = start($name);
    my $before  = settled_socket_count($server);
    my @command = beside($server, $client, '--load', "127.0.0.1:$port", '--connections', $connections,
        '--size', $size, '--warmup', "${warmup}s", '--duration', "${duration}s",
        $rate ? ('--rate', $rate) : (), '--json', '--log-level', 'error');
    my $pid = open(my $output, '-|', @command) or die "$client: $!\n";
    $pids{$pid} = 1;
    my $ended = IO::Select->new($output);    # it writes when it is done
    # Both ends of a connection are counted.
    my $usage = usage_of($server, $pid, $ended, $duration, $before + 2 * $connections - 1);
    my $json  = join '', <$output>;
    close $output;
    delete $pids{$pid};
    stop($server);
    my $r = eval { decode_json($json) };
    return (undef, $json) if !$r || !$usage || $r->{messages_per_s} == 0;
    my $messages = $r->{messages_per_s} * $usage->{seconds};
    return {
        messages_per_s   => $r->{messages_per_s},
        messages_skipped => $r->{messages_skipped},
        p50_us           => $r->{reply}{p50_ns} / 1000,
        p99_us           => $r->{reply}{p99_ns} / 1000,
        client_cpu_ns    => $r->{cpu_ns_per_message},
        server_cpu_us    => $usage->{server} * 1e6 / $messages,
        server_busy      => $usage->{server} / $usage->{seconds},
        client_busy      => $usage->{client} / $usage->{seconds},
    };
}

# What server and client take of the CPU while the client measures. It starts milliseconds after
# the last connect, when that many sockets are there, and measures once the warm-up is over.
# undef: it ended before.
sub usage_of {
    my ($server, $client, $ended, $duration, $sockets) = @_;
    my $deadline = now() + 60;
    while (socket_count($server) < $sockets) {
        return if $ended->can_read(0.003) || now() > $deadline;
    }
    sleep $warmup + 0.01;
    my @from = (now(), cpu_s($server), cpu_s($client));
    sleep max(0.02, $duration - 0.03);
    my @to = (now(), cpu_s($server), cpu_s($client));
    return if $ended->can_read(0);
    return { seconds => $to[0] - $from[0], server => $to[1] - $from[1], client => $to[2] - $from[2] };
}

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# ---- many ----------------------------------------------------------------------------------

sub median { my @v = sort { $a <=> $b } @_; return $v[$#v / 2] }

# Several servers under several loads, all interleaved, each run in another order; returns
# {"server load"}{figure}. In {"server load"}{"all FIGURE"} are the single runs. Before the
# servers may stand: times => so many times the runs, seldom => {server => 1}, which are measured
# in the plain number of runs.
sub interleave {
    my %how = (times => 1, seldom => {});
    while (!ref $_[0]) {
        my ($key, $value) = splice @_, 0, 2;
        $how{$key} = $value;
    }
    my @pairs = @_;    # [server, load...]
    my (%all, %medians);
    for my $run (0 .. $runs * $how{times} - 1) {
        for my $pair (map { $pairs[($_ + $run) % @pairs] } 0 .. $#pairs) {
            my ($name, @load) = @$pair;
            next if $how{seldom}{$name} && $run % $how{times} != 0;
            printf STDERR "\r%-78s", sprintf 'run %d of %d: %s', $run + 1, $runs * $how{times}, "$name @load" if -t STDERR;
            my $figures = measure($name, @load) // {};
            # A measurement without figures keeps its place: quotients are of the same run.
            $all{"$name @load"}[$run] = $figures;
        }
    }
    print STDERR "\r", " " x 78, "\r" if -t STDERR;
    for my $k (keys %all) {
        my %names = map { ($_ => 1) } map { keys %{ $_ // {} } } @{ $all{$k} };
        for my $figure (keys %names) {
            my @each = map { $_->{$figure} } @{ $all{$k} };
            $medians{$k}{"all $figure"} = \@each;
            $medians{$k}{$figure} = median(grep { defined } @each);
        }
    }
    return \%medians;
}

# How a figure of one measurement compares with that of another, sorted: the single runs'
# quotients. A shared machine is fast and slow by turns, for seconds; the measurements of one run
# are near each other in time.
sub quotients {
    my ($r, $figure, $ours, $theirs) = @_;
    my ($x, $y) = map { $r->{$_}{"all $figure"} // [] } $ours, $theirs;
    return sort { $a <=> $b } map { $x->[$_] / max($y->[$_], 1e-9) }
        grep { defined $x->[$_] && defined $y->[$_] } 0 .. min($#$x, $#$y);
}

1;
