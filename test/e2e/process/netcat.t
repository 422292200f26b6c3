#!/usr/bin/perl
# The netcat check without Docker: what passes, what fails, what is wrong usage; with busybox's
# nc, in dash and in busybox's own shell.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

plan skip_all => 'the script runs once, with the programs as shipped' if $Echolab::build ne 'build';
plan skip_all => 'no busybox here' if system('command -v busybox >/dev/null 2>&1') != 0;

my $script  = POSIX::getcwd() . '/compose/netcat.sh';
my $applets = temp_dir() . '/applets';
system("mkdir '$applets' && for name in \$(busybox --list); do ln -s \"\$(command -v busybox)\" '$applets'/\$name; done") == 0 or die;
my $only_nc = temp_dir() . '/only-nc';
system("mkdir '$only_nc' && ln -s '$applets/nc' '$only_nc/nc'") == 0 or die;
my $tmp = temp_dir() . '/tmp';
mkdir $tmp;

# How the script runs: a shell and where it finds its tools.
my %shells = ('busybox' => ["$applets/ash", $applets], 'dash' => ['dash', "$only_nc:$ENV{PATH}"]);
my $shell;

# netcat(variable => value...; _stdin => a file, _shell => command): (exit code, stdout, stderr)
sub netcat {
    my (%env) = @_;
    my $stdin = delete $env{_stdin} // '/dev/null';
    my $path  = delete $env{_path};
    my ($interpreter, $tools) = @{ $shells{$shell} };
    my ($code, $out, $err) = run_program(['sh', '-c', "exec '$interpreter' '$script' <'$stdin'"], seconds => 60,
        env => { PATH => ($path // $tools), TMPDIR => $tmp, HOST => '127.0.0.1', TIMEOUT_S => 2, %env });
    is(join(' ', glob "$tmp/*"), '', '(nothing is left)');
    return ($code, $out, $err);
}

sub put { my ($name, $bytes) = @_; my $path = temp_dir() . "/$name"; open my $f, '>:raw', $path or die; print $f $bytes; close $f; return $path }

# A server that changes what it echoes: sub (bytes so far, block) gives the block to send, or
# undef to end at once.
sub bad_server {
    my ($change, $at_end) = @_;
    return odd_server(sub {
        my ($s) = @_;
        my $n = 0;
        while (sysread $s, my $block, 65536) {
            my $answer = $change->($n, $block);
            return if !defined $answer;
            $n += length $block;
            send_all($s, $answer);
        }
        send_all($s, $at_end) if defined $at_end;
    });
}

my $big     = put('big', join '', map { pack 'N', $_ } 1 .. 500_000);
my $length  = -s $big;
my $server  = start_server();
my $same    = sub { $_[1] };
my %wrong   = (
    'nothing comes back'          => bad_server(sub { '' }),
    'the last byte is missing'    => bad_server(sub { my ($n, $b) = @_; $n + length $b == $length ? substr($b, 0, -1) : $b }),
    'the last byte is another'    => bad_server(sub { my ($n, $b) = @_; $n + length $b == $length ? substr($b, 0, -1) . 'X' : $b }),
    'one byte too many'           => bad_server($same, 'X'),
    'a byte in the middle is another' => bad_server(sub { my ($n, $b) = @_; $n <= 1e6 && $n + length $b > 1e6 ? substr($b, 0, -1) . 'X' : $b }),
    'closed early'                => bad_server(sub { my ($n, $b) = @_; $n > 1e6 ? undef : $b }),
);

for (sort keys %shells) {
    $shell = $_;
    my ($code, $out, $err) = netcat(PORT => $server->{port}, MESSAGE => "a \$b  ñ");
    is("$code $err", '0 ', "$shell: a message") or diag $out;
    is($out, "netcat: sent 9 bytes to 127.0.0.1:$server->{port}, got 9 back:\na \$b  ñ\nnetcat: every byte came back\n", "$shell: ... is shown");
    ($code, $out, $err) = netcat(PORT => $server->{port}, MESSAGE_FROM => 'stdin', _stdin => $big);
    is("$code $err", '0 ', "$shell: a file") or diag $out;
    is($out, "netcat: sent $length bytes to 127.0.0.1:$server->{port}, got $length back\nnetcat: every byte came back\n", "$shell: ... is not shown");

    for my $what (sort keys %wrong) {
        ($code, $out, $err) = netcat(PORT => $wrong{$what}{port}, MESSAGE_FROM => 'stdin', _stdin => $big);
        is($code, 1, "$shell: $what: exit 1") or diag $out . $err;
        like($err, qr/\Anetcat: (?:the echo differs: .*(?:EOF on|differ)|no answer from|127)[^\n]*\n\z/, "$shell: ... and where, in one line");
        unlike($out, qr/every byte/, "$shell: ... and nothing else is claimed");
    }
    # The rest of the message comes when nc is gone already, with exit code 0.
    my $one = odd_server(sub { my ($s) = @_; sysread $s, my $b, 10; send_all($s, $b) });
    my $slow = put("slow-$shell", "#!/bin/sh\necho one\nsleep 1\necho two\n");
    ($code, $out, $err) = run_program(['sh', '-c', "sh '$slow' | PATH='$shells{$shell}[1]' '$shells{$shell}[0]' '$script'"],
        env => { TMPDIR => $tmp, HOST => '127.0.0.1', PORT => $one->{port}, TIMEOUT_S => 3, MESSAGE_FROM => 'stdin' });
    is($code, 1, "$shell: a part that nc does not send any more is missing: exit 1") or diag $out . $err;

    my $silent = odd_server(sub { sleep 20 });
    my $byte = put("byte-$shell", 'x');
    like((netcat(PORT => $server->{port}, MESSAGE_FROM => 'stdin', _stdin => $byte))[1], qr/^netcat: sent 1 byte to \S+, got 1 back$/m, "$shell: one byte is one byte");
    my $t = time;
    ($code, $out, $err) = netcat(PORT => $silent->{port}, MESSAGE => 'x', TIMEOUT_S => 1);
    is($code, 1, "$shell: a server that says nothing: exit 1");
    cmp_ok(time - $t, '<', 5, "$shell: ... soon");
    is($err, "netcat: no answer from 127.0.0.1:$silent->{port} within 1 s\n", "$shell: ... and one line says why");
    my $half = odd_server(sub { my ($s) = @_; sysread $s, my $b, 10; send_all($s, substr $b, 0, 1); sleep 20 });
    ($code, $out, $err) = netcat(PORT => $half->{port}, MESSAGE => 'xyz', TIMEOUT_S => 1);
    is("$code $err", "1 netcat: 1 byte came back, then none moved for 1 s\n", "$shell: a server that stops in the middle");
    ($code, $out, $err) = netcat(PORT => 1, MESSAGE => 'x');
    is("$code $err", "1 netcat: 127.0.0.1:1 refused the connection: nobody listens there\n", "$shell: nobody listens: exit 1, one line");
    is($out, '', "$shell: ... and nothing is claimed");
    for my $case (['no-such-container', '; a container of this name may be stopped or disconnected'], ['no-such-host.invalid', '']) {
        my ($host, $hint) = @$case;
        ($code, $out, $err) = netcat(HOST => $host, PORT => 1, MESSAGE => 'x', TIMEOUT_S => 20);
        is("$code $err", "1 netcat: $host is not resolved$hint\n", "$shell: $host: exit 1, one line");
    }
    my $failing = temp_dir() . "/failing-$shell";
    system('mkdir', $failing);
    chmod 0755, put("failing-$shell/nc", "#!/bin/sh\ncat\nexit 3\n");
    ($code, $out, $err) = netcat(PORT => $server->{port}, MESSAGE => 'x', _path => "$failing:$shells{$shell}[1]");
    # (busybox's shell may take its own nc before any in PATH.)
    SKIP: {
        skip 'this shell has an nc of its own', 1 if $code == 0 && $shell eq 'busybox';
        is("$code $err", "1 netcat: nc failed (3)\n", "$shell: an nc that fails though all came back: exit 1");
    }

    # A name server that is silent: nc hangs without a connection.
    my $hanging = temp_dir() . "/hanging-$shell";
    system('mkdir', $hanging);
    chmod 0755, put("hanging-$shell/nc", "#!/bin/sh\nexec sleep 20\n");
    SKIP: {
        skip 'this shell has an nc of its own', 1 if $shell eq 'busybox';
        ($code, $out, $err) = netcat(HOST => 'no-such-container', PORT => 1, MESSAGE => 'x', TIMEOUT_S => 1, _path => "$hanging:$shells{$shell}[1]");
        is("$code $err", "1 netcat: no-such-container is not resolved; a container of this name may be stopped or disconnected\n", "$shell: a silent name server: exit 1, one line");
    }

    my %good = (PORT => $server->{port}, MESSAGE => 'x');
    for my $case ([{ MESSAGE => '' }, 'any text'], [{ MESSAGE_FROM => 'stdin' }, 'one byte or more'], [{ MESSAGE_FROM => 'file' }, 'stdin, or nothing'],
        (map { [{ PORT => $_ }, '1 to 65535'] } '', '0', '65536', '99999999999999999999999', '-1', 'x', '7 ', '0x10'),
        (map { [{ TIMEOUT_S => $_ }, '1 to 3600'] } '', '0', '3601', '1.5', '5s', '99999999999999999999999'),
        (map { [{ HOST => $_ }, 'a name or an address'] } '', '-l', 'a b', '$(id)', "a\nb", 'localhost:7'))
    {
        my ($change, $allowed) = @$case;
        ($code, $out, $err) = netcat(%good, %$change);
        my ($name) = %$change;
        is($code, 2, "$shell: $name='$change->{$name}': exit 2");
        like($err, qr/^netcat: .*\Qallowed: $allowed\E/s, "$shell: ... and what is allowed");
    }
}
unlike(slurp($script), qr/\b(?:12345|7777|localhost|127\.0|hello)\b/, 'no host, port or message stands in the script');
done_testing;
