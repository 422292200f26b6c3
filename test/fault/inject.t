#!/usr/bin/perl
# Every errno that a system call of the server can return, at its call 1 to 20, under load: no
# crash, no hang, no spinning afterwards, and no other connection loses a byte.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use ByteChecker;
use FaultRuns;
use AdminPages;

plan skip_all => 'no strace here' if !has_command('strace');

# From accept(2), recv(2), send(2), poll(2), shutdown(2), setsockopt(2), fcntl(2), openat(2),
# read(2), write(2), close(2) and the calls of the start. [call, at most so many connections
# are hit, errnos].
my @calls = (
    [accept4    => 0, qw(EAGAIN EINTR ECONNABORTED EPROTO ENETDOWN ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH EOPNOTSUPP ENETUNREACH EPERM EMFILE ENFILE ENOBUFS ENOMEM)],
    [recvfrom   => 1, qw(EAGAIN EINTR ECONNRESET ECONNREFUSED ETIMEDOUT ENOMEM ENOBUFS EHOSTUNREACH ENOTCONN)],
    [sendto     => 1, qw(EAGAIN EINTR ECONNRESET EPIPE ETIMEDOUT ENOMEM ENOBUFS EHOSTUNREACH ENETUNREACH)],
    [poll       => 0, qw(EINTR ENOMEM EAGAIN)],
    [shutdown   => 1, qw(ENOTCONN ENOBUFS)],
    [ioctl      => 1, qw(EINVAL ENOTTY)],
    [setsockopt => 0, qw(ENOBUFS ENOMEM ENOPROTOOPT EINVAL)],
    [fcntl      => 0, qw(EINVAL ENOLCK ENOMEM)],
    [openat     => 0, qw(ENOENT EACCES EMFILE ENFILE ENOMEM EINTR EIO)],
    [read       => 0, qw(EINTR EAGAIN EIO)],
    [write      => 0, qw(EAGAIN EINTR EPIPE ENOSPC EIO)],
    [close      => 0, qw(EINTR EIO)],
    [mmap       => 1, qw(ENOMEM)],
    [munmap     => 0, qw(ENOMEM)],
    [pipe2      => 0, qw(EMFILE ENFILE)],
    [signalfd4  => 0, qw(EMFILE ENFILE ENOMEM)],
    [rt_sigtimedwait => 0, qw(EINTR EAGAIN)],
    [socket     => 0, qw(EMFILE ENOBUFS EAFNOSUPPORT)],
    [bind       => 0, qw(EADDRINUSE EACCES)],
    [listen     => 0, qw(EADDRINUSE)],
    [rt_sigaction => 0, qw(EINVAL)],
    [clone      => 0, qw(EAGAIN ENOMEM)],
    # With an admin address that is asked meanwhile; getsockopt(2) is the length of the backlog.
    ['accept4+admin'    => 0, qw(EAGAIN EINTR ECONNABORTED EMFILE ENOMEM)],
    ['recvfrom+admin'   => 1, qw(EAGAIN EINTR ECONNRESET ENOMEM)],
    ['sendto+admin'     => 1, qw(EAGAIN EINTR ECONNRESET EPIPE ENOBUFS)],
    ['shutdown+admin'   => 1, qw(ENOTCONN ENOBUFS)],
    ['setsockopt+admin' => 0, qw(ENOBUFS ENOMEM)],
    ['fcntl+admin'      => 0, qw(EINVAL ENOMEM)],
    ['close+admin'      => 0, qw(EINTR EIO)],
    ['openat+admin'     => 0, qw(ENOENT EACCES EMFILE)],
    ['pread64+admin'    => 0, qw(EINTR EIO ESRCH)],
    ['getsockopt+admin' => 0, qw(ENOBUFS EINVAL)],
    ['prlimit64+admin'  => 0, qw(EPERM EINVAL)],
    ['bind+admin'       => 0, qw(EADDRINUSE EACCES EADDRNOTAVAIL)],
    ['listen+admin'     => 0, qw(EADDRINUSE)],
    ['socket+admin'     => 0, qw(EMFILE EAFNOSUPPORT)],
    ['mmap+admin'       => 1, qw(ENOMEM)],
);
# Calls that only several workers make.
my %options = map { $_ => ['--workers', 3] } qw(clone pipe2);
my $only  = $ENV{FAULT_CALLS} ? qr/^(?:$ENV{FAULT_CALLS})$/ : qr/./;
my $calls = $ENV{FAULT_NTH} // ($ENV{FAULT_CORE} ? 2 : 20);

my $config = write_file(temp_dir() . '/server.ini', "[server]\ndrain_timeout = 8s\n");

# One run. Returns "fine", "refused to start", or what is wrong; and whether it was hit.
sub run {
    my ($case) = @_;
    my ($name, $cut_max, $errno, $nth) = @$case;
    my $call      = $name =~ s/\+admin$//r;
    my $has_admin = $call ne $name;
    my $trace  = temp_dir() . "/trace.$$.$call.$errno.$nth";
    my $server = start_on_port($call eq 'write' ? free_port() : 0, ['strace', '-D', '-qq', '-o', $trace, '-e', "trace=$call", '-e', "inject=$call:error=$errno:when=$nth"],
        '-c', $config, $has_admin ? ('--admin-address', '127.0.0.1:0') : (), @{ $options{$name} // [] });
    my @wrong;
    my $started = $server->{port};
    if ($started) {
        my $before = cpu_seconds($server->{pid});
        sleep 0.2 if $call eq 'rt_sigtimedwait';    # it is called where all is quiet
        my $admin = $has_admin ? admin_port($server) : undef;
        if ($has_admin) { get($admin, '/metrics', seconds => 3) for 1 .. 8 }
        my ($count, $all) = check_bytes($server->{port}, connections => 21, bytes => 400, piece => 100, seconds => 4,
            log => sub {
                if ($nth == 5) {    # it must be quiet now
                    my $from = cpu_seconds($server->{pid});
                    sleep 0.5;
                    my $used = cpu_seconds($server->{pid}) - $from;
                    push @wrong, "it spins: $used s of CPU in 0.5 s" if $used > 0.01;
                }
                my ($again) = check_bytes($server->{port}, connections => 3, first => 100, seconds => 2);
                push @wrong, 'afterwards: ' . verdicts_text($again) if ($again->{whole} // 0) < 2;
                push @wrong, 'afterwards: no metrics' if $has_admin && !wait_for(sub { ((get($admin, '/metrics', seconds => 3))[0] // 0) == 200 });
                my $t = time;
                my $code = stop_program($server, 12);
                push @wrong, 'it does not stop' if !defined $code;
                push @wrong, "exit code $code" if defined $code && $code != 0;
                push @wrong, 'it stops late' if time - $t > 4;
                return log_of($server);
            });
        my $not_whole = 21 - ($count->{whole} // 0);
        push @wrong, verdicts_text($count) if $not_whole > $cut_max || $not_whole > ($count->{cut} // 0) + ($count->{lost} // 0);
        my $log = log_of($server);
        my ($accepted, $closed) = (scalar(() = $log =~ /accepted$/gm), scalar(() = $log =~ /connection \d+ closed/g));
        push @wrong, "$accepted accepted, $closed closed" if $accepted != $closed && $call ne 'write';
    } else {
        my $code = exit_of($server, 0);
        my $said = slurp($server->{err}) . log_of($server);
        push @wrong, 'it neither starts nor ends' if !defined $code;
        push @wrong, "exit code $code without a word: $said" if defined $code && !(($code == 1 || $code == 2) && $said =~ /(?:ERROR|allowed|no memory)/);
    }
    my $trace_text = slurp($trace);
    my $hit = $trace_text =~ /INJECTED/ ? 'hit' : 'not hit';
    # The handler's one byte (SIGTERM is 15, \17): a pipe with room cannot refuse it (pipe(7)).
    @wrong = () if $trace_text =~ /write\(\d+, "\\17", 1\) .*INJECTED/;
    unlink $trace;
    if (defined $server->{pid} && !exists $server->{code}) { kill 'KILL', $server->{pid}; exit_of($server) }
    return join "\t", $hit, @wrong ? join('; ', map {s/\s+/ /gr} @wrong) : $started ? 'fine' : 'refused to start';
}

my @cases;
for my $c (@calls) {
    my ($call, $cut_max, @errnos) = @$c;
    next if $call !~ $only;
    for my $errno (@errnos) { push @cases, map { [$call, $cut_max, $errno, $_] } 1 .. $calls }
}
my (%hit, %refused, %wrong, %seen);
my $t = time;
in_parallel(\@cases, \&run, sub {
    my ($case, $result) = @_;
    my ($call, undef, $errno, $nth) = @$case;
    my ($hit, $text) = split /\t/, $result;
    my $name = "$call $errno";
    $hit{$name} += $hit eq 'hit' ? 1 : 0;
    $refused{$name}++ if ($text // '') eq 'refused to start';
    push @{ $wrong{$name} }, "call $nth: " . ($text // $hit) if ($text // '') !~ /^(?:fine|refused to start)$/;
});
my $runs = 0;
for my $case (@cases) {
    my $name = "$case->[0] $case->[2]";
    next if $seen{$name}++;
    is_deeply($wrong{$name} // [], [], "$name: nothing goes wrong, $hit{$name} injected"
        . ($refused{$name} ? ", $refused{$name} times it says why it does not start" : ''));
    cmp_ok($hit{$name}, '>', 0, "$name: it was injected");
}
note(sprintf '%d runs, %d injections in %.0f s', scalar @cases, eval { my $n = 0; $n += $_ for values %hit; $n }, time - $t);
done_testing;
