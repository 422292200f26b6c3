#!/usr/bin/perl
# A verdict about an image: ours gets every point, each broken server loses the points that are its
# fault's, and images that do not behave end in their time. Nothing stays.
#
# ECHOLAB_GRADE=all grades all broken servers; otherwise one of them, so that it takes less time.
use strict;
use warnings;
use feature 'state';
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use EcholabDocker;

$SIG{$_} = 'DEFAULT' for qw(HUP INT);    # a shell's background has them ignored
plan skip_all => 'no Docker here' if system('docker info >/dev/null 2>&1') != 0;
my $client = $ENV{CLIENT_IMAGE} // 'echolab-client:latest';
for my $name ('server', $ENV{CLIENT_IMAGE} ? () : 'client') {
    my ($code, $out) = command("tools/images.sh $name");
    is($code, 0, "the $name image is built") or diag $out;
}
my ($busybox) = (command('tools/images.sh busybox'))[1] =~ /^(\S+)$/m;
my $project = "echolab-test-grade-$$";
my $out_dir = temp_dir() . '/out';
my @made;
END { my $status = $?; command("docker rmi -f $_") for @made; $? = $status }

sub left {
    my ($name) = @_;
    return join ' ', grep { /^\Q$name\E\b/ } split /\s+/,
        `docker ps -a --format '{{.Names}}' --filter name=$name; docker network ls --format '{{.Name}}' --filter name=$name`;
}

# Begins to grade an image. Several may go on at once, where no point depends on time.
sub start_grade {
    my ($image, @more) = @_;
    state $count = 0;
    my $name = $project . '-' . ++$count;
    my %env  = (PROJECT => $name, GRADE_DIR => $out_dir, CLIENT_IMAGE => $client, BUSYBOX_IMAGE => $busybox, TMPDIR => temp_dir() . "/$name");
    mkdir $env{TMPDIR};
    my $program = start_program(['tools/grade.pl', $image, @more], env => \%env, wrap => ['setsid']);
    return { %$program, image => $image, name => $name, tmp => $env{TMPDIR}, begin => time };
}

# Of one that has ended nothing is left.
sub nothing_left {
    my ($program, $what) = @_;
    is(left($program->{name}), '', "$what: no container or network is left");
    is(join(' ', glob "$program->{tmp}/*"), '', "$what: no file is left");
}

# Grades an image, or ends what grades it: (exit code, the grade, text, stderr).
sub grade { return end_of(start_grade(@_)) }

sub end_of {
    my ($program) = @_;
    my $image = $program->{image};
    my ($code, $out, $err) = (exit_of($program, 400), log_of($program), slurp($program->{err}));
    diag sprintf '%s: %.0f s', $image, time - $program->{begin};
    nothing_left($program, $image);
    my $grade = eval { decode_json(slurp("$out_dir/" . $image =~ s/[^A-Za-z0-9_.-]+/_/gr . '.json')) };
    return ($code, $grade, $out, $err);
}

sub failed { my ($grade) = @_; return join ' ', map { $_->{id} } grep { $_->{result} ne 'pass' } @{ $grade->{checks} } }

# ---- ours ------------------------------------------------------------------------------------------
my ($code, $grade, $out, $err) = grade('echolab-server:latest');
is($code, 0, 'ours: exit 0') or diag $out . $err;
is("$grade->{points} of $grade->{possible}", '20 of 20', 'ours: all points') or diag $out;
is(failed($grade), '', 'ours: nothing failed');
like($out, qr/^  points +20 of 20$/m, 'ours: the table says so');
unlike($out, qr/^Remarks/m, 'ours: there is nothing to remark');
is(slurp("$out_dir/echolab-server_latest.txt"), $out =~ s/\n  files: .*\n\z//r, 'ours: the text is in a file, too');
is(scalar(() = slurp("$out_dir/echolab-server_latest.xml") =~ /<testcase /g), scalar @{ $grade->{checks} }, 'ours: a case of JUnit for each check');

# ---- the broken ones -------------------------------------------------------------------------------
# What must fail, what may fail with it, what is said.
my %faults = (
    'short-write'   => [['echo'], ['half-close', 'crowd'], qr/A long message does not come back whole: send\(\) may take only a part/],
    'drops-tail'    => [['half-close'], ['netcat'], qr/After the client ended its direction/],
    'one-at-a-time' => [['crowd'], ['clients', 'closes', 'talking', 'answered', 'ten-thousand', 'memory'], qr/One silent client blocks all the others/],
    'no-shutdown'   => [['half-close'], ['netcat', 'ten-thousand', 'memory', 'crowd'], qr/then the server must end its own direction/],
    'flips-a-bit'   => [['echo'], ['half-close', 'crowd', 'clients', 'answered'], qr/One bit comes back wrong \(byte 99 is /],
    prefix          => [['echo'], ['half-close', 'crowd', 'clients', 'netcat', 'ten-thousand', 'memory'], qr/It is no plain echo server: prefix of 32 bytes/],
    leaks           => [['ten-thousand', 'memory'], ['crowd', 'echo', 'half-close'], qr/It leaks: \d+ bytes of memory stay for each connection/],
    'ignores-term'  => [['idle', 'talking'], ['closes', 'answered'], qr/It does not end at SIGTERM: after 10 s Docker killed it/],
);
for my $fault (($ENV{ECHOLAB_GRADE} // '') eq 'all' ? sort keys %faults : 'ignores-term') {
    my ($must, $may, $says) = @{ $faults{$fault} };
    is((command('tools/images.sh server', FAULT => $fault))[0], 0, "$fault: its image");
    ($code, $grade, $out, $err) = grade("echolab-fault:$fault");
    is($code, 1, "$fault: exit 1") or diag $out . $err;
    my %failed = map { ($_ => 1) } split ' ', failed($grade);
    ok(delete $failed{$_}, "$fault: loses the points of $_") or diag $out for @$must;
    delete @failed{@$may};
    is(join(' ', sort keys %failed), '', "$fault: loses no other points than its fault's") or diag $out;
    like($out =~ s/\s+/ /gr, $says, "$fault: is named") or diag $out;
}

# ---- strangers -------------------------------------------------------------------------------------
sub image {
    my ($name, $dockerfile, $from) = @_;
    my $image  = "echolab-test-$name:$$";
    my $folder = temp_dir() . "/image-$name";
    write_file("$folder/Dockerfile", "FROM $from\n$dockerfile\n");
    my ($code, $out) = command("docker build -t $image $folder");
    is($code, 0, "$name: its image") or diag $out;
    push @made, $image;
    return $image;
}
sub sh { my ($script) = @_; return 'CMD ' . encode_json(['sh', '-c', $script]) }

# Another right server, whose file says another port.
my $config = write_file(temp_dir() . '/other.ini', "[server]\nport = 7000\nlisten_backlog = 9\n");
is((command('tools/images.sh server', FAULT => 'prefix'))[0], 0, 'the broken server\'s image');
($code, $grade, $out, $err) = grade(image('other', 'ENV FAULT=none', 'echolab-fault:prefix'), "$config:/etc/echolab/server.ini");
is("$code $grade->{points}", '0 20', 'another right server, with CONFIG: all points') or diag $out . $err;
is($grade->{examiner}{target}, 'server:7000', '... its file is mounted in the other looks, too');

my %bad = (
    ends   => [sh('echo bye; exit 3'), qr/it ended by itself, exit code 3; its last lines: bye/, 60],
    silent => [sh('exec sleep 600'), qr/it did not listen on any port within 20 s; it printed nothing/, 60],
    prints => [sh('exec yes the same again and again'), qr/it printed more than 8 MiB/, 90],
    forks  => [sh('sh -c "while :; do sleep 600 & done" 2>/dev/null; while :; do :; done'), qr/it forks without end/, 90],
    alone  => ['ENV SERVER_ADDRESS=127.0.0.1', qr/it listens on 127\.0\.0\.1:12345 only, where no other container reaches it: bind to 0\.0\.0\.0/, 60],
);
# Those that only wait go side by side; the others need a processor for what they do wrong.
sub start_bad { my ($name) = @_; return start_grade(image($name, $bad{$name}[0], $name eq 'alone' ? 'echolab-server:latest' : $busybox)) }
my %grading = map { $_ => start_bad($_) } qw(ends silent alone);
for my $name (qw(ends silent alone prints forks)) {
    my (undef, $says, $most) = @{ $bad{$name} };
    $grading{$name} //= start_bad($name);
    ($code, $grade, $out, $err) = end_of($grading{$name});
    is($code, 1, "$name: exit 1") or diag $err;
    cmp_ok(time - $grading{$name}{begin}, '<', $most, "$name: ends in its time");
    like($out =~ s/\s+/ /gr, $says, "$name: is told") or diag $out;
    is("$grade->{points} of $grade->{possible}", '0 of 20', "$name: no points");
}
($code, undef, $out, $err) = grade("echolab-test-none:$$");
is($code, 2, 'an image that is not there: exit 2');
like($err, qr/^grade: SERVER_IMAGE='\S+' is neither here nor can it be pulled; allowed: the name of an image$/m, '... what is allowed');

# ---- a signal --------------------------------------------------------------------------------------
my @signals = map { { signals => $_, program => start_grade('echolab-server:latest') } } ['INT'], ['TERM'], ['HUP'], ['TERM', 'TERM', 'INT'];
for (@signals) {
    my ($signals, $program) = @{$_}{qw(signals program)};
    ok(wait_for(sub { slurp($program->{err}) =~ /the examiner talks to it/ }, 90), "@$signals: comes in the middle");
    sleep 1;
    for my $signal (@$signals) { kill $signal, -$program->{pid}; sleep 0.2 }
    is(exit_of($program, 60), 3, "@$signals: exit 3");
    nothing_left($program, "@$signals");
}
done_testing;
