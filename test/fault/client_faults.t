#!/usr/bin/perl
# The client when its system calls, its server, or its name server fail: it ends in time, each
# message is echoed or counted by what happened, the exit code says it, and a right server is
# never said to send wrong bytes. In namespaces of the test's own.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use FaultRuns;

enter_own_network(mounts => 1);

my %code_of = (not_resolved => 3, refused => 4, unreachable => 4, timed_out => 5, differs => 6, closed_early => 7, reset => 7);

# What is wrong with the end of a load: '' if nothing is.
sub judge_load {
    my ($code, $report, $said) = @_;
    return 'it does not end' if !defined $code;
    return $said =~ /ERROR|allowed|no memory/ ? '' : "exit code $code without a word" if $code == 1 || $code == 2;
    return "exit code $code without a report" if !%$report && $code != 3;
    return $said =~ /not resolved/ ? '' : "exit code 3 without a word" if !%$report;
    my ($sum, @wrong) = (0);
    my %errors   = %{ $report->{errors} };
    my %failures = %{ $report->{failures} };
    $sum += $_ for values %failures;
    my ($most) = sort { $failures{$b} <=> $failures{$a} } keys %failures;
    push @wrong, "exit code $code with $sum failures" if ($code == 0) != ($sum == 0);
    push @wrong, "exit code $code, most are $most" if $sum && !grep { $code_of{$_} == $code && $failures{$_} == $failures{$most} } keys %failures;
    push @wrong, "exit code $code, told is $report->{exit_code}" if $code != $report->{exit_code};
    push @wrong, "$sum failures, $report->{messages_lost} lost" if $sum < $report->{messages_lost};
    push @wrong, "exit code 0 and nothing was echoed" if $code == 0 && !$report->{messages_echoed};
    push @wrong, "$failures{$_} failures of $errors{$_} $_" for grep { $failures{$_} > $errors{$_} } keys %failures;
    push @wrong, "$errors{differs} differ" if $errors{differs};
    push @wrong, "$report->{messages_sent} sent, $report->{messages_echoed} echoed, $report->{messages_lost} lost, $report->{messages_unfinished} unfinished"
        if $report->{messages_sent} != $report->{messages_echoed} + $report->{messages_lost} + $report->{messages_unfinished};
    return join '; ', @wrong;
}

sub finished_load {
    my ($program, $seconds) = @_;
    my $code = exit_of($program, $seconds // 10);
    if (!defined $code) { kill 'KILL', $program->{pid}; exit_of($program) }
    return ($code, eval { decode_json(log_of($program)) } // {}, slurp($program->{err}));
}

is(judge_load(0, { errors => { refused => 9 }, failures => { refused => 0 }, exit_code => 0, messages_sent => 3, messages_echoed => 2, messages_lost => 0, messages_unfinished => 0 }, ''),
    '3 sent, 2 echoed, 0 lost, 0 unfinished', 'a message that is not accounted for is seen');
is(judge_load(5, { errors => { refused => 2, timed_out => 1 }, failures => { refused => 2, timed_out => 1 }, exit_code => 5, messages_sent => 0, messages_echoed => 0, messages_lost => 0, messages_unfinished => 0 }, ''),
    'exit code 5, most are refused', 'an exit code that does not fit is seen');

# ---- every errno at the first calls ----------------------------------------------------------
my $server = start_server();
my @calls = (
    [socket         => qw(EMFILE ENFILE ENOBUFS ENOMEM)],
    [setsockopt     => qw(ENOBUFS ENOMEM EINVAL)],
    [bind           => qw(EADDRINUSE EADDRNOTAVAIL EACCES)],
    [connect        => qw(EINTR EADDRNOTAVAIL ECONNREFUSED ENETUNREACH ETIMEDOUT EACCES EPERM EAGAIN)],
    [getsockopt     => qw(ENOBUFS)],
    [getsockname    => qw(ENOBUFS)],
    [getpeername    => qw(ENOTCONN ENOBUFS)],
    [sendto         => qw(EAGAIN EINTR ECONNRESET EPIPE ETIMEDOUT ENOMEM ENOBUFS EHOSTUNREACH)],
    [recvfrom       => qw(EAGAIN EINTR ECONNRESET ETIMEDOUT ENOMEM EHOSTUNREACH)],
    [poll           => qw(EINTR ENOMEM)],
    [ppoll          => qw(EINTR ENOMEM)],
    [shutdown       => qw(ENOTCONN ENOBUFS)],
    [fcntl          => qw(EINVAL ENOLCK ENOMEM)],
    [close          => qw(EINTR EIO)],
    [read           => qw(EINTR EAGAIN)],
    [write          => qw(EINTR ENOSPC EPIPE)],
    [open           => qw(ENOENT EACCES EMFILE EINTR)],
    [pipe2          => qw(EMFILE ENFILE)],
    [mmap           => qw(ENOMEM)],
    [munmap         => qw(ENOMEM)],
    [clone          => qw(EAGAIN ENOMEM)],
    [timerfd_create => qw(EMFILE ENOMEM)],
    [timerfd_settime => qw(EINVAL)],
    [prlimit64      => qw(EPERM)],
    [rt_sigaction   => qw(EINVAL)],
);
my $only = $ENV{FAULT_CALLS} ? qr/^(?:$ENV{FAULT_CALLS})$/ : qr/./;
my $nth  = $ENV{FAULT_NTH} // ($ENV{FAULT_CORE} ? 2 : 20);
my %options = (
    bind            => ['--source', '127.0.0.1'],
    timerfd_create  => ['--rate',   2000],
    timerfd_settime => ['--rate',   2000],
    clone           => ['--threads', 3],
);

sub run {
    my ($call, $errno, $nth) = @{ $_[0] };
    my $trace  = temp_dir() . "/trace.$$.$call.$errno.$nth";
    my $client = start_program(["$Echolab::build/echo-client", '--load', "localhost:$server->{port}", '--json', '--connections', 5,
        '--messages', 300, '--duration', '2s', '--timeout', '500ms', '--retry', '5ms', @{ $options{$call} // [] }],
        wrap => ['strace', '-D', '-f', '-qq', '-o', $trace, '-e', "trace=$call", '-e', "inject=$call:error=$errno:when=$nth"]);
    my $wrong = judge_load(finished_load($client, 6));
    my $text  = slurp($trace);
    unlink $trace;
    # One byte into an empty pipe: the kernel cannot refuse it (pipe(7)).
    $wrong = '' if $text =~ /write\(\d+, "(?:\\0|\\17)", 1\) .*INJECTED/;
    return join "\t", $text =~ /INJECTED/ ? 1 : 0, $wrong =~ s/\s+/ /gr;
}

SKIP: {
    skip 'no strace here', 1 if !has_command('strace');
    my (%hit, %wrong, @cases, @names);
    for my $c (@calls) {
        my ($call, @errnos) = @$c;
        next if $call !~ $only;
        for my $errno (@errnos) {
            push @names, "$call $errno";
            push @cases, map { [$call, $errno, $_] } 1 .. $nth;
        }
    }
    my $t = time;
    in_parallel(\@cases, \&run, sub {
        my ($case, $result) = @_;
        my ($hit, $wrong) = split /\t/, $result;
        my $name = "$case->[0] $case->[1]";
        $hit{$name} += $hit eq '1' ? 1 : 0;
        push @{ $wrong{$name} }, "call $case->[2]: $wrong" if ($wrong // 'no result') ne '';
    });
    is_deeply($wrong{$_} // [], [], "$_: each message is accounted for, $hit{$_} loads hit") for @names;
    cmp_ok($hit{$_}, '>', 0, "$_: it was injected") for @names;
    note(sprintf '%d loads in %.0f s', scalar @cases, time - $t);
}
is(stop_program($server), 0, 'the server ends with 0');

# ---- the server is absent, paused, replaced, behind a black hole --------------------------------
sub start_load {
    my ($port, @how) = @_;
    return start_program(["$Echolab::build/echo-client", '--load', $port =~ /:/ ? $port : "127.0.0.1:$port", '--json',
        '--connections', 10, '--timeout', '300ms', '--retry', '20ms', @how]);
}

sub all_accounted {
    my ($name, $load, %demand) = @_;
    my ($code, $report, $said) = finished_load($load);
    is(judge_load($code, $report, $said), '', "$name: each message is accounted for");
    is($code, $demand{code}, "$name: exit $demand{code}") or diag $said;
    my @others = grep { $report->{errors}{$_} && !$demand{kinds}{$_} } keys %{ $report->{errors} // {} };
    is("@others", '', "$name: no other kind of error");
    cmp_ok($report->{errors}{$_}, '>', 0, "$name: some $_") for grep { $demand{kinds}{$_} > 1 } keys %{ $demand{kinds} };
    return $report;
}

{
    my $port = free_port();
    my $r = all_accounted('absent', start_load($port, '--duration', '500ms'), code => 4, kinds => { refused => 2 });
    is($r->{messages_sent}, 0, 'absent: nothing was sent');
    my $t    = time;
    my $load = start_load($port, '--duration', '3s');
    sleep 1;
    my $late = start_server(port => $port);
    my $up   = time - $t;
    $r = all_accounted('absent at first', $load, code => 0, kinds => { refused => 2 });
    cmp_ok($r->{messages_echoed}, '>', 100, 'absent at first: then it echoes');
    my $outage = $r->{outage_ns} / 1e9;
    ok($outage > 0.8 && $outage < $up + 1, sprintf 'absent at first: an outage of %.2f s is reported, it was one of %.2f s', $outage, $up);
    stop_program($late);
}
{
    my $paused = start_server();
    my $load = start_load($paused->{port}, '--duration', '3s', '--rate', 1000);
    sleep 1;
    kill 'STOP', $paused->{pid};
    my $t = time;
    sleep 1;
    kill 'CONT', $paused->{pid};
    my $pause = time - $t;
    my $r = all_accounted('paused for 1 s in mid-run', $load, code => 5, kinds => { timed_out => 2, reset => 1, closed_early => 1 });
    cmp_ok($r->{messages_lost}, '>=', 10, 'paused for 1 s in mid-run: one message at least of each connection timed out');
    my $outage = $r->{outage_ns} / 1e9;
    ok($outage > 0.5 && $outage < $pause + 1, sprintf 'paused for 1 s in mid-run: an outage of %.2f s is reported, the pause without the timeout of 0.3 s, and the retries', $outage);
    is(stop_program($paused), 0, 'paused for 1 s in mid-run: the server lost nothing, exit 0');
}
{
    my $old  = start_server('drain-timeout' => '200ms');
    my $load = start_load($old->{port}, '--duration', '3s');
    sleep 0.7;
    is(stop_program($old), 0, 'replaced in mid-run: the old server, stopped while all talk, exit 0');
    my $new = start_server(port => $old->{port});
    my ($code, $r, $said) = finished_load($load);
    is(judge_load($code, $r, $said), '', 'replaced in mid-run: each message is accounted for');
    like($code, qr/^[047]$/, "replaced in mid-run: exit $code, refused or closed by the old server, or nothing lost");
    cmp_ok($r->{connects}, '>=', 20, 'replaced in mid-run: all connections are made again');
    is(stop_program($new), 0, 'replaced in mid-run: the new server lost nothing, exit 0');
}
SKIP: {
    skip 'no iptables here', 10 if system('iptables -L -n >/dev/null 2>&1') != 0;
    my $behind = start_server();
    my $load   = start_load($behind->{port}, '--duration', '3s');
    sleep 0.7;
    my $t = time;
    system "iptables -A INPUT -p tcp --dport $behind->{port} -j DROP";
    sleep 0.8;
    system 'iptables -F';
    my $hole = time - $t;
    my $r = all_accounted('a black hole in mid-run', $load, code => 5, kinds => { timed_out => 2 });
    my $outage = $r->{outage_ns} / 1e9;
    ok($outage > 0.3 && $outage < $hole + 1.3, sprintf 'a black hole in mid-run: an outage of %.2f s is reported, it was one of %.2f s', $outage, $hole);
    system "iptables -A INPUT -p tcp --dport $behind->{port} -j DROP";
    my $again = time;
    $r = all_accounted('a black hole from the start', start_load($behind->{port}, '--duration', '1s'), code => 5, kinds => { timed_out => 2 });
    cmp_ok(time - $again, '<', 5, 'a black hole from the start: it ends in time');
    system 'iptables -F';
    stop_program($behind);
}

# ---- a name server that fails, then works ------------------------------------------------------
# $answer->(how many questions came before): 'fail' (SERVFAIL), 'none' (NXDOMAIN), 'silent', or
# an address. What it looks like: RFC 1035, section 4.
sub name_server {
    my ($answer) = @_;
    my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 53, Proto => 'udp', Type => Socket::SOCK_DGRAM()) or die "port 53: $@";
    my $pid = fork // die;
    if ($pid == 0) {
        alarm 60;
        my $n = 0;
        while (defined(my $from = $socket->recv(my $question, 512))) {
            my ($id, undef, $questions) = unpack 'nnn', $question;
            my ($name) = substr($question, 12) =~ /\A((?:[^\0].*?)?\0)/s;
            my $type = unpack 'n', substr $question, 12 + length $name, 2;
            my $say  = $answer->($n);
            $n++ if $type == 1;
            next if $say eq 'silent';
            my $flags = $say eq 'fail' ? 0x8182 : $say eq 'none' ? 0x8183 : 0x8180;
            my $records = $say =~ /\d/ && $type == 1 ? 1 : 0;
            my $reply = pack('n6', $id, $flags, 1, $records, 0, 0) . substr($question, 12, length($name) + 4);
            $reply .= pack('nnnNn', 0xc00c, 1, 1, 1, 4) . Socket::inet_aton($say) if $records;
            $socket->send($reply, 0, $from);
        }
        POSIX::_exit(0);
    }
    return $Echolab::running{$pid} = { pid => $pid };
}

sub end_process { my ($p) = @_; kill 'KILL', $p->{pid}; exit_of($p) }

SKIP: {
    skip 'glibc reads more than resolv.conf', 12 if $Echolab::build ne 'build';
    my $conf = write_file(temp_dir() . '/resolv.conf', "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    skip 'resolv.conf cannot be replaced', 12 if system('mount', '--make-rprivate', '/') || system('mount', '--bind', $conf, '/etc/resolv.conf');
    my $named = start_server();
    my @loop  = ("$Echolab::build/echo-client", '--server-address', "echo.test:$named->{port}", '--timeout', '400ms', '--count', 6, '--interval', '100ms');
    # musl asks again by itself after SERVFAIL, and each look-up asks for IPv4 alone, too.
    for my $case (['SERVFAIL', 'fail', 9], ['NXDOMAIN', 'none', 4], ['silence', 'silent', 4]) {
        my ($name, $how, $times) = @$case;
        my $lost = $how eq 'none' ? 2 : qr/[123]/;
        my $dns = name_server(sub { $_[0] < $times ? $how : '127.0.0.1' });
        my ($code, $out, $err) = run_program(\@loop, seconds => 15);
        like($out, qr/6 sent, [345] echoed, [123] lost \($lost not resolved\)/, "$name $times times, then an address: the loop goes on");
        is($code, 3, "$name $times times, then an address: exit 3, as what was lost was not resolved") or diag $out;
        my ($load_code, $report) = finished_load(start_load("echo.test:$named->{port}", '--messages', 100));
        is("$load_code $report->{messages_echoed}", '0 100', "$name $times times, then an address: a load finds it");
        end_process($dns);
    }
    my $dns = name_server(sub {'silent'});
    my $took = shortest(1, sub {
        my $t = time;
        my ($code, undef, $said) = finished_load(start_load('echo.test:7', '--messages', 100));
        is($code, 3, 'a silent name server: a load ends with exit 3');
        like($said, qr/not resolved: no answer from the name server in time/, 'a silent name server: a load says why');
        return time - $t;
    });
    cmp_ok($took, '<', 1, 'a silent name server: a load ends after its timeout');
    end_process($dns);
    stop_program($named);
}

done_testing;
