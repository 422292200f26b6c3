#!/usr/bin/perl
# The grade without Docker: what is wrong usage, how commands are bounded, how findings become
# points and remarks, and how those become text, JUnit and JSON.
use strict;
use warnings;
use lib 'tools';
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);
use Echolab;
use Grade::Exercises;
use Grade::Lab;
use Grade::Report;

plan skip_all => 'the scripts run once, with the programs as shipped' if $Echolab::build ne 'build';

my $dir = temp_dir();
my $bin = "$dir/bin";
sub stand_in { my ($script) = @_; write_file("$bin/docker", "#!/bin/sh\necho \"\$*\" >>'$bin/told'\n$script\n"); chmod 0755, "$bin/docker"; unlink "$bin/told"; return }

sub grade {
    my (@arguments) = @_;
    return run_program(['tools/grade.pl', @arguments], env => { PATH => "$bin:$ENV{PATH}", TMPDIR => $dir, GRADE_DIR => "$dir/out" }, seconds => 60);
}

# ---- usage -----------------------------------------------------------------------------------------
stand_in('exit 1');
my $no_port = write_file("$dir/no-port.ini", "[DEFAULT]\nSERVER_LISTEN_BACKLOG = 5\n");
my $config  = write_file("$dir/config.ini", "[DEFAULT]\nSERVER_PORT = 12345\n");
for my $case (
    [[], qr/usage: grade\.pl IMAGE/], [['a', 'b', 'c'], qr/usage/], [['-x'], qr/SERVER_IMAGE='-x' is no image's name; allowed: like student/], [['a b'], qr/is no image's name/],
    [['x', "$dir/none"], qr/CONFIG='\S+none': \S+ cannot be read; allowed: FILE, or FILE:/], [['x', $dir], qr/cannot be read/],
    [['x', $no_port], qr/no line of \S+ sets a port; allowed: a file with a line like SERVER_PORT = 12345/],
    [['x', "$config:/app/c.ini"], qr/SERVER_IMAGE='x' is neither here nor can it be pulled; allowed: the name of an image/],
  )
{
    my ($arguments, $says) = @$case;
    my ($code, $out, $err) = grade(@$arguments);
    is("$code $out", '2 ', "grade.pl @$arguments: exit 2");
    like($err, qr/\Agrade: [^\n]+\n\z/, '... one line');
    like($err, $says, '... what is allowed');
}
my $image = '[{"Id":"sha256:1","Config":{"WorkingDir":"/app","ExposedPorts":{"7/tcp":{}}}}]';
stand_in("case \$1 in inspect) echo '$image' ;; network) echo 'no more networks'; exit 1 ;; esac");
my ($code, $out, $err) = grade('x');
is("$code $out", '3 ', 'an engine that cannot make a network: exit 3');
is($err, "grade: docker network failed: no more networks\n", '... which says why');
like(slurp("$bin/told"), qr/^ps -aq --filter label=echolab\.grade=\S+\nnetwork ls -q --filter label=\S+$/m, '... and what may be there is looked for and removed');

# ---- commands --------------------------------------------------------------------------------------
my $lab = Grade::Lab->new(project => 'p', image => 'x', folder => '/app');
my $t = time;
is_deeply($lab->run(['sh', '-c', 'echo out; echo err >&2; exit 3']), { out => "out\nerr\n", code => 3 }, 'run: output and exit code');
ok($lab->run(['sleep', 20], seconds => 0.3)->{is_late}, '... a command that takes too long is ended');
my $much = $lab->run(['yes'], limit => 100_000);
ok($much->{is_cut}, '... one that prints without end, too');
cmp_ok(length $much->{out}, '<', 300_000, '... what it printed is not kept');
cmp_ok(time - $t, '<', 15, '... soon');
is($lab->run(['/nonexistent'])->{code}, 127, '... one that is not there');
is(Grade::Lab::last_lines("a\n\nb\x1b[2J\tx\nc\n", 2), "b?[2J x\nc", 'last lines, without what a terminal would obey');

# ---- what Docker and the kernel say ----------------------------------------------------------------
my %sockets = (
    '   0: 00000000:3039 00000000:0000 0A 00000000:00000004 00:00000000 00000000 65532 0 1 1 0 100 0 0 10 0' => [12345, '', 4, ''],
    '   1: 0100007F:1389 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0' => [5001, 1, 0, ''],
    '   2: 0B00007F:9C41 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0' => [40001, 1, 0, 1],
    '   0: 00000000000000000000000000000000:3039 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 0 0 0 1' => [12345, '', 0, ''],
    '   0: 00000000000000000000000001000000:3039 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 0 0 0 1' => [12345, 1, 0, ''],
);
for my $line (sort keys %sockets) {
    my $s = Grade::Lab::socket_of($line);
    is_deeply([$s->{port}, $s->{is_loopback} || '', $s->{queue}, $s->{is_dns}], $sockets{$line}, "a listener: $line") or diag explain $s;
}
is_deeply([Grade::Lab::socket_of('  sl  local_address rem_address   st tx_queue rx_queue')], [], 'the header is none');
is($lab->choose_port(map { { port => $_ } } @{ $_->[0] }), $_->[1], "of ports @{ $_->[0] }: $_->[1]") for [[7, 12345], 12345], [[9000, 8000], 8000];
$lab->{exposed} = { '9000/tcp' => {} };
is($lab->choose_port({ port => 8000 }, { port => 9000 }), 9000, 'of several the one that the image names');

{
    no warnings qw(redefine once);
    for my $case (['1.5MiB / 256MiB 3', 1572864, 3], ['512KiB / 256MiB 1', 524288, 1], ['100.5kB / 256MiB 2', 100500, 2], ['2GB / 3GB 7', 2e9, 7]) {
        local *Grade::Lab::docker = sub { return { out => "$case->[0]\n", code => 0 } };
        is_deeply($lab->usage({ name => 'x' }), { memory => $case->[1], pids => $case->[2] }, "memory and processes: $case->[0]");
    }
}

{
    no warnings qw(redefine once);
    local *Grade::Lab::docker = sub { return { out => "0B / 0B 0\n", code => 0 } };
    is_deeply($lab->usage({ name => 'x' }), {}, 'of a container that has ended there are none');
}

# ---- points and remarks ----------------------------------------------------------------------------
my $exercises = Grade::Exercises->new(lab => $lab);
sub finding { my ($id, $result, %more) = @_; return { id => $id, title => "title of $id", why => 'why', demanded => JSON::PP::true, result => $result, seen => 'seen', %more } }
my $check = $exercises->take_findings('echo', [finding('one-byte', 'pass'), finding('one-mib', 'pass')]);
is("$check->{result} $check->{points} $check->{remark}", 'pass 5 ', 'all passed: all points');
$check = $exercises->take_findings('echo', [finding('one-byte', 'pass'), finding('one-mib', 'fail'), finding('idle', 'fail', demanded => JSON::PP::false)]);
is("$check->{result} $check->{points}", 'fail 4', 'a demanded one failed: a point less; what is not demanded costs none');
like($check->{remark}, qr/\AA long message does not come back whole: .* \(one-mib: seen\)\z/, '... the remark, and what was seen');
$check = $exercises->take_findings('crowd', [map { finding($_, 'fail') } qw(one-byte one-mib new-one)]);
is($check->{points}, 0, 'not less than none');
like($check->{remark}, qr/^Title of new-one: why\. \(new-one: seen\)$/m, 'a check without a remark of its own has the examiner\'s');
is($exercises->take_findings('echo', [])->{result}, 'fail', 'nothing was checked: no pass');
is($exercises->take_findings('echo', [finding('one-byte', 'skip')])->{points}, 4, 'a demanded one that was skipped has not passed');

$check = $exercises->take_findings('crowd', [finding('parallel', 'pass'), finding('backlog', 'fail')]);
is("$check->{result} $check->{points}", 'pass 2', 'what fails with a backlog of 5 costs nothing');
like($check->{remark}, qr/\AMany connections at once .* costs no point\. \(backlog: seen\)\z/, '... and is remarked');
sub wrong { my ($id, $got, $expected) = @_; return finding($id, 'fail', seen => "byte 99 is 0x$got, expected 0x$expected") }
$check = $exercises->take_findings('echo', [wrong('one-mib', '63', '62'), wrong('all-bytes', '64', '44')]);
like($check->{remark}, qr/\AOne bit comes back wrong \(byte 99 is 0x63, expected 0x62\): [^\n]* \(one-mib, all-bytes\)\z/, 'one wrong bit is named, once');
like($exercises->take_findings('echo', [wrong('one-mib', '63', '61')])->{remark} =~ s/\n.*//sr, qr/\AOne bit/, '... whichever it is');
like($exercises->take_findings('echo', [wrong('one-mib', '63', '60')])->{remark}, qr/\AA long message/, '... two wrong bits are another byte');
like($exercises->take_findings('crowd', [wrong('parallel', '00', 'ff'), finding('sequence', 'fail')])->{remark},
    qr/\ABytes are wrong here, too, or missing \(parallel: byte 99 [^\n]*: see exercise 1\.\nIt does not survive 1,000/, 'wrong bytes elsewhere are no other fault');

my %growth = (
    'no growth'  => [{ memory => 1e6, pids => 1 }, { memory => 1.2e6, pids => 1 }, 10_000, qr/\A\z/],
    'a leak'     => [{ memory => 1e6, pids => 1 }, { memory => 6e6, pids => 1 }, 10_000, qr/leaks: 500 bytes of memory stay/],
    'threads'    => [{ memory => 1e6, pids => 1 }, { memory => 1e6, pids => 190 }, 10_000, qr/189 threads or processes are left/],
    'it is gone' => [{ memory => 1e6, pids => 1 }, {}, 10_000, qr/did not survive/],
    'a pool'     => [{ memory => 1e6, pids => 1 }, { memory => 1e6, pids => 90 }, 10_000, qr/\A\z/],
    'it had gone' => [{ pids => 1 }, {}, 100, qr/did not survive/],
    'few'        => [{ memory => 1e6, pids => 1 }, { memory => 1e6, pids => 1 }, 100, qr/Too few/],
);
like(Grade::Exercises::growth_remark(@{ $growth{$_} }[0 .. 2]), $growth{$_}[3], "memory: $_") for sort keys %growth;
{
    no warnings qw(redefine once);
    local *Grade::Lab::what_it_said = sub { return 'its last lines: x' };
    my %ends = (0 => qr/\A\z/, 137 => qr/\AIt does not end at SIGTERM/, 143 => qr/\ASIGTERM killed it \(143\)/, 1 => qr/\AIt ended with 1 instead of 0 at SIGTERM; its last lines: x/);
    like($exercises->remark_on_end({}, $_, 1), $ends{$_}, "SIGTERM: exit code $_") for sort keys %ends;
}

# Where files go: CONFIG's target, or where an image may look.
sub targets { my ($config) = @_; return join ' ', map { $_->[1] } @{ Grade::Exercises->new(lab => $lab, config => $config)->placed('file', 'ours') } }
is(targets(undef), '/app/config.ini /config.ini /etc/echolab/server.ini', 'without CONFIG: the exercise\'s places, and ours');
is(targets({ name => 'c.ini', target => '/x/y' }), '/x/y', 'CONFIG with a target: there alone');
is(targets({ name => 'c.ini' }), '/app/c.ini /app/config.ini /c.ini /config.ini /etc/echolab/server.ini', 'CONFIG without: by its name, and by the exercise\'s');

# ---- reports ---------------------------------------------------------------------------------------
my %grade = (
    image => 'student/echo:1', image_id => 'sha256:1', started => '2026-11-26T12:00:00Z', character => ['prefix of 32 bytes'], exercises => \@Grade::Exercises::exercises,
    checks => [
        { exercise => '1', id => 'echo', title => 'title <one>', possible => 5, points => 3, result => 'fail', seen => '"a" & b', remark => "First.\nSecond " . 'word ' x 40 },
        { exercise => '4', id => 'idle', title => 'title two', possible => 1, points => 1, result => 'pass', seen => 'x', remark => '' },
    ],
);
my $text = Grade::Report::as_text(\%grade);
like($text, qr/\Agrade: student\/echo:1\n\n  kind of server: prefix of 32 bytes\n/, 'text: the image, and what it is');
like($text, qr/^  1 +an echo server, byte by byte +3 of  5$/m, '... points of an exercise');
like($text, qr/^  points +4 of  6$/m, '... and of all');
like($text, qr/^Remarks\n\n  exercise 1, title <one>:\n    - First\.\n    - Second word(?: word)*\n      word/m, '... each remark by itself');
is(scalar(grep { length > 100 } split /\n/, $text), 0, '... no line is long');
my $junit = Grade::Report::as_junit(\%grade);
like($junit, qr/<testsuites name="grade of student\/echo:1" tests="2" failures="1">/, 'JUnit: counts');
like($junit, qr/<testcase classname="exercise 1" name="title &lt;one&gt;">\n +<failure message="3 of 5 points: &quot;a&quot; &amp; b">First\.&#10;Second/, '... a failure, with what XML must not see in it escaped');
like($junit, qr/<testcase classname="exercise 4" name="title two"\/>/, '... a pass');
is(scalar(() = $junit =~ /<test(?:case|suite|suites)\b[^>]*[^\/]>/g), scalar(() = $junit =~ /<\/test/g), '... every element ends');
my $json = decode_json(Grade::Report::as_json(\%grade, 1));
is("$json->{points} $json->{possible} $json->{exit_code} $json->{checks}[0]{id}", '4 6 1 echo', 'JSON');
my $nothing = Grade::Report::as_text({ %grade, why => 'it ended', checks => [], character => [] });
like($nothing, qr/it serves nobody, so nothing could be judged:\n  it ended\n/, 'an image that does not serve: why');
mkdir "$dir/out2";
is(Grade::Report::write_all(\%grade, "$dir/out2", 1), "$dir/out2/student_echo_1", 'files are named after the image');
is(join(' ', map { s{.*/}{}r } sort glob "$dir/out2/*"), 'student_echo_1.json student_echo_1.txt student_echo_1.xml', '... all three');
done_testing;
