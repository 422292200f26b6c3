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
    my %errors = %{ $report->{errors} };
    $sum += $_ for values %errors;
    my ($most) = sort { $errors{$b} <=> $errors{$a} } keys %errors;
    push @wrong, "exit code $code with $sum errors" if ($code == 0) != ($sum == 0);
    push @wrong, "exit code $code, most are $most" if $sum && !grep { $code_of{$_} == $code && $errors{$_} == $errors{$most} } keys %errors;
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

is(judge_load(0, { errors => { refused => 0 }, messages_sent => 3, messages_echoed => 2, messages_lost => 0, messages_unfinished => 0 }, ''),
    '3 sent, 2 echoed, 0 lost, 0 unfinished', 'a message that is not accounted for is seen');
is(judge_load(5, { errors => { refused => 2, timed_out => 1 }, messages_sent => 0, messages_echoed => 0, messages_lost => 0, messages_unfinished => 0 }, ''),
    'exit code 5, most are refused', '... and an exit code that does not fit');

# ---- every errno at the first calls ----------------------------------------------------------
my $server = start_server();
my @calls = (
    [socket         => qw(EMFILE ENFILE ENOBUFS ENOMEM)],
    [setsockopt     => qw(ENOBUFS ENOMEM EINVAL)],
    [bind           => qw(EADDRINUSE EADDRNOTAVAIL EACCES)],
    [connect        => qw(EINTR EADDRNOTAVAIL ECONNREFUSED ENETUNREACH ETIMEDOUT EACCES EPERM EAGAIN)],
    [getsockopt     => qw(ENOBUFS)],
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
    skip 'no strace here', 1 if !grep { -x "$_/strace" } split /:/, $ENV{PATH};
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
    is_deeply($wrong{$_} // [], [], "$_: injected into $hit{$_} loads") for @names;
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
    is($code, $demand{code}, "... exit $demand{code}") or diag $said;
    my @others = grep { $report->{errors}{$_} && !$demand{kinds}{$_} } keys %{ $report->{errors} // {} };
    is("@others", '', '... no other kind of error');
    cmp_ok($report->{errors}{$_}, '>', 0, "... some $_") for grep { $demand{kinds}{$_} > 1 } keys %{ $demand{kinds} };
    return $report;
}

{
    my $port = free_port();
    my $r = all_accounted('absent', start_load($port, '--duration', '500ms'), code => 4, kinds => { refused => 2 });
    is($r->{messages_sent}, 0, '... nothing was sent');
    my $t    = time;
    my $load = start_load($port, '--duration', '3s');
    sleep 1;
    my $late = start_server(port => $port);
    my $up   = time - $t;
    $r = all_accounted('absent at first', $load, code => 4, kinds => { refused => 2 });
    cmp_ok($r->{messages_echoed}, '>', 100, '... then it echoes');
    my $away = $r->{away_ns} / 1e9;
    ok($away > 0.8 && $away < $up + 1, sprintf '... away for %.2f s, it was for %.2f s', $away, $up);
    stop_program($late);
}
{
    my $paused = start_server();
    my $load = start_load($paused->{port}, '--duration', '3s', '--rate', 1000);
    sleep 1;
    kill 'STOP', $paused->{pid};
    sleep 1;
    kill 'CONT', $paused->{pid};
    my $r = all_accounted('paused for 1 s in mid-run', $load, code => 5, kinds => { timed_out => 2, reset => 1, closed_early => 1 });
    cmp_ok($r->{messages_lost}, '>=', 10, '... one message at least of each connection timed out');
    my $away = $r->{away_ns} / 1e9;
    ok($away > 0.5 && $away < 1.3, sprintf '... away for %.2f s: the pause without the timeout of 0.3 s, and the retries', $away);
    is(stop_program($paused), 0, '... the server lost nothing: exit 0');
}
{
    my $old  = start_server('drain-timeout' => '200ms');
    my $load = start_load($old->{port}, '--duration', '3s');
    sleep 0.7;
    is(stop_program($old), 0, 'a server that is stopped while all talk: exit 0');
    my $new = start_server(port => $old->{port});
    my ($code, $r, $said) = finished_load($load);
    is(judge_load($code, $r, $said), '', 'replaced in mid-run: each message is accounted for');
    like($code, qr/^[047]$/, "... exit $code: refused, or closed by the old one");
    cmp_ok($r->{connects}, '>=', 20, '... all connections are made again');
    is(stop_program($new), 0, '... the new one lost nothing');
}
SKIP: {
    skip 'no iptables here', 5 if system('iptables -L -n >/dev/null 2>&1') != 0;
    my $behind = start_server();
    my $load   = start_load($behind->{port}, '--duration', '3s');
    sleep 0.7;
    my $t = time;
    system "iptables -A INPUT -p tcp --dport $behind->{port} -j DROP";
    sleep 0.8;
    system 'iptables -F';
    my $hole = time - $t;
    my $r = all_accounted('a black hole in mid-run', $load, code => 5, kinds => { timed_out => 2 });
    my $away = $r->{away_ns} / 1e9;
    ok($away > 0.3 && $away < $hole + 1.3, sprintf '... away for %.2f s, the hole was there for %.2f s', $away, $hole);
    system "iptables -A INPUT -p tcp --dport $behind->{port} -j DROP";
    my $again = time;
    $r = all_accounted('a black hole from the start', start_load($behind->{port}, '--duration', '1s'), code => 5, kinds => { timed_out => 2 });
    cmp_ok(time - $again, '<', 2.5, '... it ends when it was told to');
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
    my $conf = temp_dir() . '/resolv.conf';
    open my $file, '>', $conf or die;
    print $file "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
    close $file;
    skip 'resolv.conf cannot be replaced', 12 if system('mount', '--make-rprivate', '/') || system('mount', '--bind', $conf, '/etc/resolv.conf');
    my $named = start_server();
    my @loop  = ("$Echolab::build/echo-client", '--server-address', "echo.test:$named->{port}", '--timeout', '400ms', '--count', 6, '--interval', '100ms');
    for my $case (['SERVFAIL', 'fail', qr/[123] not resolved/], ['NXDOMAIN', 'none', qr/3 not resolved/], ['silence', 'silent', qr/[123] not resolved/]) {
        my ($name, $how, $counted) = @$case;
        my $dns = name_server(sub { $_[0] < 3 ? $how : '127.0.0.1' });
        my ($code, $out, $err) = run_program(\@loop, seconds => 15);
        like($out, qr/6 sent, [345] echoed, [123] lost \($counted\)/, "$name three times, then an address: the loop goes on");
        is($code, 3, '... exit 3: what was lost was not resolved') or diag $out;
        my ($load_code, $report) = finished_load(start_load("echo.test:$named->{port}", '--messages', 100));
        is("$load_code $report->{messages_echoed}", '0 100', '... and a load finds it');
        end_process($dns);
    }
    my $dns = name_server(sub {'silent'});
    my $t = time;
    my ($code, undef, $said) = finished_load(start_load('echo.test:7', '--messages', 100));
    is($code, 3, 'a silent name server: a load ends with 3');
    like($said, qr/not resolved: no answer from the name server in time/, '... told why');
    cmp_ok(time - $t, '<', 1, '... after its timeout');
    end_process($dns);
    stop_program($named);
}

done_testing;
