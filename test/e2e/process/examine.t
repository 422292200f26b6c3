#!/usr/bin/perl
# echo-client --examine: our server passes every check, each check fails on a server with the
# fault that it is for, and the report says so in four forms. Most of it waits: what can goes side
# by side, and only the programs as shipped do what waits longest and has no code of its own.
use strict;
use warnings;
use JSON::PP;
use TAP::Parser;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use FaultyServers;

my $client   = "$Echolab::build/echo-client";
my $is_short = $Echolab::build ne 'build';

sub start_examine {
    my ($target, @arguments) = @_;
    $target = "127.0.0.1:$target" if $target !~ /:/;
    return start_program([$client, '--examine', $target, @arguments]);
}

# (exit code, stdout, stderr)
sub end_of {
    my ($program) = @_;
    return (exit_of($program, 180) // 'still running', log_of($program), slurp($program->{err}));
}

sub examine { return end_of(start_examine(@_)) }

# (exit code, report, findings by id, stderr)
sub examine_json { return report_of(start_examine(@_, '--json')) }

sub report_of {
    my ($program) = @_;
    my ($code, $out, $err) = end_of($program);
    my $report = eval { decode_json($out) };
    ok($report, "the report is one JSON object") or diag($out, $err);
    $report //= { checks => [], character => [] };
    is($report->{exit_code}, $code, 'its exit code is the program\'s');
    my %finding = map { $_->{id} => $_ } @{ $report->{checks} };
    return ($code, $report, \%finding, $err);
}

sub those {
    my ($report, $result) = @_;
    return join ' ', map { $_->{id} } grep { $_->{result} eq $result } @{ $report->{checks} };
}

my @ids = qw(one-byte one-mib bytewise all-bytes utf8-cut two-in-one one-in-two urgent-byte pipelining
    half-close slow-reader parallel deaf-peer sequence reset backlog idle bounded);

# ---- our server --------------------------------------------------------------------------
for my $workers ($is_short ? 2 : (1, 2)) {
    my @examined = map {
        my $server = start_server(workers => $workers);
        [$_, $server, start_examine("$_:$server->{port}", '--json', $_ eq '[::1]' ? ('--idle', '500ms') : ())]
    } '127.0.0.1', '[::1]', 'localhost';
    for (@examined) {
        my ($host, $server, $program) = @$_;
        group "our server, $workers workers, $host" => sub {
            my ($code, $report, $finding, $err) = report_of($program);
            is($code, 0, 'exit 0');
            is(join(' ', map { $_->{id} } @{ $report->{checks} }), "@ids", 'each check, in its order');
            is(those($report, 'fail'), '', 'none fails')
                or diag(map { "$_->{id}: $_->{seen}\n" } grep { $_->{result} eq 'fail' } @{ $report->{checks} });
            is(those($report, 'skip'), $host eq '[::1]' ? '' : 'idle', 'idle is skipped unless it is asked for');
            is($finding->{idle}{demanded} ? 1 : 0, $host eq '[::1]' ? 1 : 0, 'and demanded if it is');
            is_deeply($report->{character}, [], 'there is nothing to say of it');
            is("$report->{passed} $report->{failed} $report->{skipped}",
                $host eq '[::1]' ? '18 0 0' : '17 0 1', 'the counts');
            is($report->{target}, "$host:$server->{port}", 'the target');
            is($err, '', 'nothing on stderr');
            is(stop_program($server), 0, 'the server ends cleanly');
        };
    }
}

# ---- each check sees its fault -----------------------------------------------------------
# check => [fault, what must be seen, a check that must pass nonetheless or undef, options of the
# server]
my @seen = (
    ['one-byte',    'line',         qr/^0 of 1 byte came back, then nothing more$/,               'two-in-one'],
    ['one-byte',    'greets',       qr/^more than the 0 bytes sent|byte 0 is 0x68 \(h\)/,         undef],
    ['one-byte',    'suffix',       qr/^more than the 1 byte sent: \\n$/,                         undef],
    ['one-mib',     'flip',         qr/^byte 524288 is 0x.., expected 0x..$|^byte 524288 is 0x.. \(.+\), expected 0x..$/, 'pipelining'],
    ['bytewise',    'pairs',        qr/^0 of 1 byte came back, then nothing more$/,               'all-bytes'],
    ['all-bytes',   'text',         qr/^byte 0 is 0x01 \(\\x01\), expected 0x00$/,                'two-in-one'],
    ['utf8-cut',    'decoder',      qr/^[0-9]+ of [0-9]+ bytes came back, then the server (closed|reset)/, 'two-in-one'],
    ['two-in-one',  'one line',     qr/^14 of 29 bytes came back, then nothing more$/,            'one-byte'],
    ['one-in-two',  'newline',      qr/^(more than the 11 bytes sent: \\n|byte 11 is 0x0a .*)$/,  'two-in-one'],
    ['urgent-byte', 'none',         qr/^byte 2 is 0x63 \(c\), expected 0x21$/,                    'pipelining'],
    ['pipelining',  'short',        qr/^(byte \d+ is|\d+ of 64000 bytes came back)/,              'two-in-one'],
    ['half-close',  'no rest',      qr/^\d+ of 262144 bytes came back, then the server (closed|reset)/, 'one-byte'],
    ['half-close',  'no end',       qr/^262144 of 262144 bytes came back, but no end of the stream$/, 'one-mib'],
    ['slow-reader', 'drops tail',   qr/^byte \d+ is|bytes came back, then nothing more$/,         'one-byte'],
    ['parallel',    'serial',       qr/^0 echoed, then one: 0 of 64 bytes came back, then nothing more$/, 'one-mib'],
    ['deaf-peer',   'one loop',     qr/^0 of 64 bytes came back, then nothing more$/,             'parallel'],
    ['sequence',    'leaks',        qr/^\d+ echoed, then one: /, 'one-mib', descriptors => 100],
    ['reset',       'dies',         qr/^(no connection: Connection (?:refused|reset by peer)|0 of \d+ bytes came back, then the server .*)$/, 'one-mib'],
    ['backlog',     'new listener', qr/^\d+ echoed, then one: /, undef],
    ['idle',        'impatient',    qr/^64 of 64 bytes came back, then the server closed$/,       'one-mib'],
    ['bounded',     'hoards',       qr/^it took 67108864 bytes unread and more$/, 'slow-reader'],
);
# Most of the time is waiting, so six are examined at once: on each server first the check that
# passes, which has its time, then the one that fails. Some faults show only where the server reads
# two segments one by one, which a busy machine may prevent: then once more.
my @runs = map { my ($check, $fault, $what, $good, @how) = @$_; { check => $check, fault => $fault, what => $what, good => $good, how => \@how } } @seen;

sub start_check {
    my ($run, $check, $timeout) = @_;
    return start_examine($run->{server}{port}, '--check', $check, '--json', '--timeout', $timeout, '--idle', '2s');
}

# Starts what comes next of a run, if what came before has ended.
sub go_on {
    my ($run) = @_;
    $run->{server} //= start_faulty($run->{fault}, @{ $run->{how} });
    return $run->{fine} = start_check($run, $run->{good}, '15s') if $run->{good} && !$run->{fine};
    return if $run->{fine} && !defined exit_of($run->{fine}, 0);
    return $run->{bad} = start_check($run, $run->{check}, $run->{what} =~ /nothing more/ ? '1s' : '5s') if !$run->{bad};
    my $code = exit_of($run->{bad}, 0) // return;
    return $run->{bad} = undef if $code == 0 && $run->{tries}++ < 5;
    stop_faulty($run->{server}) if !$run->{is_over}++;
}
my $end = time + 240;
while (my @left = grep { !$_->{is_over} } @runs) {
    die 'the checks hang' if time > $end;
    go_on($_) for @left > 6 ? @left[0 .. 5] : @left;
    sleep 0.02;
}
for my $run (@runs) {
    group "a server with the fault '$run->{fault}'" => sub {
        my ($finding) = @{ decode_json(log_of($run->{bad}))->{checks} };
        is("$finding->{id} $finding->{result}", "$run->{check} fail", "fails $run->{check}");
        like($finding->{seen}, $run->{what}, 'what was seen');
        cmp_ok(exit_of($run->{bad}), '>=', 4, 'the exit code says so');
        is(exit_of($run->{fine}), 0, "passes $run->{good}") or diag(log_of($run->{fine})) if $run->{fine};
    };
}
my %is_seen = map { $_->{check} => 1 } @runs;
is(join(' ', grep { !$is_seen{$_} } @ids), '', 'each check has failed on a server');

# ---- a word about the server -------------------------------------------------------------
my %character = (
    'none'     => [],
    'line'     => ['a line at a time'],
    'prefix'   => ['prefix of 32 bytes', 'echo-client needs --verify no'],
    'suffix'   => ['suffix of 1 byte', 'echo-client needs --verify no'],
    'upper'    => ['answers other bytes than were sent'],
    'greets'   => ['speaks first'],
    'late'     => ['answers only after the end of the stream'],
    'one read' => ['one message per connection'],
    'serial'   => ['serial'],
    'exercise' => ['prefix of 32 bytes', 'echo-client needs --verify no', 'one message per connection', 'serial'],
    'floods'   => ['floods'],
    'silent'   => ['accepts, but never answers'],
    'closes'   => ['closes each connection without an answer'],
    'resets'   => ['closes each connection without an answer'],
);
# Who speaks first is heard within 100 ms only, which a busy machine may take from the server:
# then once more.
sub start_telling {
    my ($fault) = @_;
    my $server = start_faulty($fault);
    return { fault => $fault, server => $server, program => start_program([$client, '--examine', "127.0.0.1:$server->{port}",
        '--check', 'two-in-one', '--timeout', '3s', '--json']) };
}
sub told_by {
    my ($run) = @_;
    exit_of($run->{program}, 60);
    stop_faulty($run->{server});
    return join ', ', sort @{ decode_json(log_of($run->{program}))->{character} };
}
for my $run (map { start_telling($_) } sort keys %character) {
    my $wanted = join ', ', sort @{ $character{ $run->{fault} } };
    my $told   = told_by($run);
    for (1 .. 4) { $told = told_by(start_telling($run->{fault})) if $told ne $wanted }
    is($told, $wanted, "the character of '$run->{fault}' is told");
}
for (['half-close', 'no rest', 'closes after a half-close without the rest'], ['urgent-byte', 'none', 'drops urgent bytes'],
    ['deaf-peer', 'one loop', 'stops while one peer does not read'], ['reset', 'dies', qr/^(does not survive a reset|refuses connections from this check on: reset)$/])
{
    my ($check, $fault, $trait) = @$_;
    my $server = start_faulty($fault);
    my (undef, $report) = examine_json($server->{port}, '--check', $check, '--timeout', '1s');
    is((grep { ref $trait ? /$trait/ : $_ eq $trait } @{ $report->{character} }), 1, "$check on '$fault' says: $trait");
    stop_faulty($server);
}
{
    my $server = start_faulty('no end');
    my (undef, $report) = examine_json($server->{port}, '--check', 'half-close', '--timeout', '1s');
    is("@{ $report->{character} }", '', 'a server that does not close at all is not told to close too early');
    stop_faulty($server);
}

# ---- servers that are no servers ---------------------------------------------------------
for (['floods', 6], ['silent', 5], ['deaf', 5], ['never accepts', 5], ['resets', 7], ['closes', 7]) {
    my ($fault, $wanted) = @$_;
    group "all checks on '$fault'" => sub {
        my $server = start_faulty($fault);
        my $t = time;
        my ($code, $report) = examine_json($server->{port}, '--timeout', '300ms');
        is($code, $wanted, "exit $wanted");
        is($report->{passed}, 0, 'nothing passes');
        cmp_ok(time - $t, '<', 60, 'it ends in its time');
        stop_faulty($server);
    };
}
group 'nobody there' => sub {
    my ($code, $report, $finding) = examine_json(free_port());
    is($code, 4, 'exit 4');
    is($finding->{'one-byte'}{seen}, 'no connection: Connection refused', 'the first check says why');
    is($report->{skipped}, 17, 'the others are skipped');
    ($code, $report) = examine_json('no-such-name.invalid:7', '--timeout', '1s');
    is($code, 3, 'a name without address: exit 3');
    is("$report->{passed} $report->{failed} $report->{skipped}", '0 0 18', 'and all is skipped');
};
group 'a server that dies in between' => sub {
    my $server = start_faulty('dies');
    my ($code, $report) = examine_json($server->{port}, '--check', 'reset,backlog,one-mib', '--timeout', '1s');
    is(those($report, 'fail'), 'reset backlog', 'this check and those after it fail');
    is(those($report, 'pass'), 'one-mib', 'what came before holds');
    is($code, 4, 'exit 4');
    stop_faulty($server);
};

# ---- limits ------------------------------------------------------------------------------
group 'too few open files' => sub {
    my $server = start_server();
    my ($code, $out) = run_program(['sh', '-c', 'ulimit -n 64 && exec "$@"', 'sh', $client, '--examine',
        "127.0.0.1:$server->{port}", '--json'], seconds => 60);
    my $report = decode_json($out);
    is(those($report, 'skip'), 'parallel backlog idle', 'what needs more is skipped');
    like((grep { $_->{id} eq 'backlog' } @{ $report->{checks} })[0]{seen}, qr/^it needs 1008 open files, the limit is 64; allowed: /,
        'with the reason');
    is($code, 1, 'which is no success: exit 1');
    stop_program($server);
};
group 'a signal' => sub {
    my $server  = start_server();
    my $program = start_program([$client, '--examine', "127.0.0.1:$server->{port}", '--check', 'one-byte,idle', '--idle', '1m', '--tap']);
    wait_for_log($program, qr/^ok 1 - one-byte/m);
    is(stop_program($program), 1, 'ends it at once: exit 1');
    like(log_of($program), qr/^ok 2 - idle: an idle connection # SKIP interrupted$/m, 'the check under way is skipped');
    like(slurp($program->{err}), qr/SIGTERM: stopping$/m, 'the log names it');
    stop_program($server);
};

# ---- forms -------------------------------------------------------------------------------
my $odd = start_faulty('text');
# All checks on a server that need not pass all, in two forms.
my %one_loop = map { $_ => start_faulty('one loop') } $is_short ? () : ('tap', 'junit');
my %long     = map { $_ => start_examine($one_loop{$_}{port}, "--$_", '--timeout', '4s') } keys %one_loop;
my @chosen = ('--check', 'all-bytes,two-in-one,idle', '--idle', '1s', '--timeout', '1s');
group 'text' => sub {
    my ($code, $out, $err) = examine($odd->{port}, @chosen);
    is("$code $err", '6 ', 'exit 6, nothing on stderr');
    like($out, qr/^  pass  two-in-one   two messages in one segment \(\S+\)$/m, 'a line for what passed');
    like($out, qr/^  FAIL  all-bytes    .*\n          sent      \S.*\n          expected  \S.*\n          seen      \S.*\n          why       \S.*$/m,
        'five for what failed');
    like($out, qr/^2 passed, 1 failed, 0 skipped\n.*Not good: 2 of 3 demanded checks passed\.\n\z/ms, 'the verdict');
    ($code, $out) = examine($odd->{port}, @chosen, '--quiet');
    is("$code $out", '6 ', '--quiet: the exit code alone');
};
group 'TAP' => sub {
    my ($code, $out) = examine($odd->{port}, '--check', 'all-bytes,two-in-one,urgent-byte', '--tap');
    my $parser = TAP::Parser->new({ tap => $out });
    my @results = grep { $_->is_test } do { my @all; while (my $r = $parser->next) { push @all, $r } @all };
    is(join(' ', map { ($_->is_ok ? 'ok' : 'not-ok') . ':' . ($_->description =~ /^- (\S+):/)[0] } @results),
        'not-ok:all-bytes ok:two-in-one not-ok:urgent-byte', 'a parser reads each result');
    is(scalar($parser->parse_errors), 0, 'there is no error in it');
    is($parser->tests_planned, 3, 'the plan');
    return if $is_short;
    (undef, $out) = end_of($long{tap});
    $parser = TAP::Parser->new({ tap => $out });
    $parser->run;
    is(join(' ', $parser->todo), '8', 'what is not demanded is TODO');
    is(join(' ', $parser->skipped), '17', 'what is skipped is SKIP');
    is(join(' ', $parser->failed), '13', 'what is demanded and failed is not ok');
};

# A parser for the little XML that a report has: (tree) or dies. Elements are [name, {attributes},
# children...].
sub parse_xml {
    my ($text) = @_;
    my $plain = sub {
        my ($t) = @_;
        die "a bare & or <: $t" if $t =~ /&(?!#\d+;)|</;
        return $t =~ s/&#(\d+);/chr $1/ger;
    };
    $text =~ s/\A<\?xml version="1\.0" encoding="UTF-8"\?>\n// or die 'no declaration';
    my @open = (['', {}]);
    for ($text) {
        while ((pos // 0) < length) {
            if (/\G<([a-z-]+)((?: [a-z]+="[^"<]*")*)(\/?)>/gc) {
                my ($name, $attributes, $is_empty) = ($1, $2, $3);
                my %value;
                while ($attributes =~ / ([a-z]+)="([^"]*)"/g) { die "twice: $1" if exists $value{$1}; $value{$1} = $plain->($2) }
                my $element = [$name, \%value];
                push @{ $open[-1] }, $element;
                push @open, $element if !$is_empty;
            } elsif (/\G<\/([a-z-]+)>/gc) { my $e = pop @open; die "$1 ends $e->[0]" if $e->[0] ne $1 }
            elsif (/\G([^<]+)/gc) { push @{ $open[-1] }, $plain->($1) }
            else { die 'no XML: ' . substr $_, pos // 0, 40 }
        }
    }
    die 'elements are open' if @open != 1;
    return $open[0][2];
}
group 'JUnit' => sub {
    my $server = start_faulty('upper');
    my ($code, $out) = examine("127.0.0.1:$server->{port}", '--check', 'two-in-one,all-bytes', '--junit');
    my $suite = eval { parse_xml($out) } // do { fail("it is XML: $@"); diag($out); return };
    is($suite->[0], 'testsuite', 'one suite');
    is("@{ $suite->[1] }{qw(tests failures errors skipped)}", '2 2 0 0', 'its counts');
    my @cases = grep { ref eq 'ARRAY' && $_->[0] eq 'testcase' } @$suite;
    is(join(' ', map { $_->[1]{name} } @cases), 'all-bytes two-in-one', 'a case for each check, in the table\'s order');
    is($cases[1][2][0], 'failure', 'which failed');
    like($cases[1][2][1]{message}, qr/^byte 0 is 0x46 \(F\), expected 0x66$/, 'and why');
    stop_faulty($server);
    (undef, $out) = end_of($long{junit}) if !$is_short;
    is("@{ parse_xml($out)->[1] }{qw(tests failures skipped)}", '18 1 2', 'what is not demanded is no failure') if !$is_short;
    if (eval { require XML::Parser; 1 }) { ok(eval { XML::Parser->new->parse($out) }, 'XML::Parser reads it') }
    else { like(run_xmllint($out), qr/^(well-formed|no xmllint)$/, 'xmllint reads it, where there is one') }
    (undef, $out) = examine('a<b>&c:7', '--junit', '--check', 'one-byte', '--timeout', '1s');
    is(parse_xml($out)->[1]{name}, 'a<b>&c:7', 'a target with <, > and &');
};
sub run_xmllint {
    my ($xml) = @_;
    return 'no xmllint' if !has_command('xmllint');
    my $path = write_file(temp_dir() . '/junit.xml', $xml);
    return (run_program(['xmllint', '--noout', $path]))[0] == 0 ? 'well-formed' : 'not well-formed';
}
stop_faulty($_) for $odd, values %one_loop;
group 'the list' => sub {
    my ($code, $out, $err) = run_program([$client, '--list-checks']);
    is("$code $err", '0 ', 'exit 0, nothing on stderr');
    is(join(' ', $out =~ /^(\S+): /mg), "@ids", 'each check by its name');
};
group 'stdout that takes nothing' => sub {
    my $server = start_server();
    my ($code, undef, $err) = run_program([$client, '--examine', "127.0.0.1:$server->{port}", '--check', 'one-byte'], stdout => '/dev/full');
    is($code, 1, 'exit 1');
    like($err, qr/cannot print the report: No space left on device$/m, 'and says so');
    stop_program($server);
};

# ---- mistakes ----------------------------------------------------------------------------
for (
    [['--examine', 'nowhere'],                           qr/^--examine: 'nowhere' the port is missing; allowed: /],
    [['--examine', 'a:1', '--check', 'one-byte,two'],    qr/^--check: 'two' is no check; allowed: all, or names .* see --list-checks$/],
    [['--examine', 'a:1', '--check', 'one-byte,'],       qr/^--check: 'one-byte,' is no list of names; allowed: /],
    [['--examine', 'a:1', '--idle', 'x'],                qr/^--idle: 'x' is not a duration; allowed: /],
    [['--examine', 'a:1', '--load', 'a:1'],              qr/--examine, --load: two things to do; allowed: one of the two$/],
    [['--examine', 'a:1', '--once'],                     qr/--once, --examine: it is for the loop; allowed: one of the two$/],
    [['--examine', 'a:1', 'b:2'],                        qr/, --examine: it is for the loop; allowed: one of the two$/],
    [['--examine', 'a:1', '--csv'],                      qr/^report: it is for --load; allowed: text, none, json, tap, junit$/],
    [['--examine', 'a:1', '--size', '5'],                qr/--size: it is for a load; allowed: with --load HOST:PORT$/],
    [['--tap'],                                          qr/--tap: it is for an examination; allowed: with --examine HOST:PORT$/],
    [['--junit', '--load', 'a:1'],                       qr/--junit: it is for an examination; allowed: with --examine HOST:PORT$/],
    [['--check', 'one-byte'],                            qr/--check: it is for an examination; allowed: with --examine HOST:PORT$/],
    [['--idle', '1s', '--load', 'a:1'],                  qr/--idle: it is for an examination; allowed: with --examine HOST:PORT$/],
    )
{
    my ($arguments, $what) = @$_;
    my ($code, $out, $err) = run_program([$client, @$arguments]);
    is("$code $out", '2 ', "exit 2: @$arguments");
    like($err, $what, "and says why: @$arguments");
    is(($err =~ tr/\n//), 1, "in one line: @$arguments");
}

done_testing();
