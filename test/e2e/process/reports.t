#!/usr/bin/perl
# The forms of a load's report for other tools, and its timeline: read by parsers that know nothing
# of the client.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

my $server = start_server();
my $port   = $server->{port};

sub load {
    my ($to, @arguments) = @_;
    return run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$to", @arguments], seconds => 60);
}

# ---- Prometheus ----------------------------------------------------------------------------
# The text as (metric name => {type, help, samples => {name{labels} => value}}), or what is wrong.
sub parse_exposition {
    my ($text) = @_;
    my (%metrics, $now);
    return 'it does not end with a newline' if $text !~ /\n\z/;
    for my $line (split /\n/, $text) {
        if ($line =~ /^# HELP ([a-z_]+) (\S.*)$/) {
            return "$1 twice" if $metrics{$1};
            $now = $1;
            $metrics{$1} = { help => $2, samples => {} };
        } elsif ($line =~ /^# TYPE ([a-z_]+) (gauge|counter|histogram)$/) {
            return "TYPE of $1 behind " . ($now // 'nothing') if $1 ne ($now // '');
            $metrics{$1}{type} = $2;
        } elsif ($line =~ /^([a-z_]+)(\{(?:[a-z]+="[^"\\]*",?)+\})? (\d+(?:\.\d+)?)$/) {
            my ($name, $labels, $value) = ($1, $2 // '', $3);
            my $base = $metrics{ $now // '' }{type} && $metrics{$now}{type} eq 'histogram' ? $name =~ s/_(bucket|sum|count)$//r : $name;
            return "$name stands behind " . ($now // 'nothing') if $base ne ($now // '');
            return "$name$labels twice" if exists $metrics{$now}{samples}{"$name$labels"};
            $metrics{$now}{samples}{"$name$labels"} = $value;
        } else {
            return "no line of the format: $line";
        }
    }
    return \%metrics;
}

sub value {
    my ($metrics, $name, $labels) = @_;
    my ($base) = grep { $metrics->{$_} } $name, $name =~ s/_(bucket|sum|count)$//r;
    return defined $base ? $metrics->{$base}{samples}{"$name$labels"} : undef;
}

group 'Prometheus' => sub {
    my ($code, $out, $err) = load($port, '--messages', 500, '--connections', 5, '--report', 'prometheus');
    is("$code $err", '0 ', 'exit 0, nothing on stderr');
    my $m = parse_exposition($out);
    ok(ref $m, 'it is the text format') or diag($m) && return;
    is(join(' ', grep { !/^echo_client_load_[a-z_]+$/ } keys %$m), '', 'each name begins with the program and what it did');
    is(join(' ', grep { $m->{$_}{type} ne (/_duration_seconds$/ ? 'histogram' : 'gauge') } keys %$m), '', 'all are gauges, but for the histograms');
    my @samples = map { keys %{ $_->{samples} } } values %$m;
    is(scalar(grep { !/[{,]target="127\.0\.0\.1:$port"[,}]/ } @samples), 0, 'each sample has the target');
    my $to = qq(target="127.0.0.1:$port");
    is(value($m, 'echo_client_load_messages', qq({$to,outcome="echoed"})), 500, 'the echoed messages');
    is(value($m, 'echo_client_load_messages', qq({$to,outcome="lost"})), 0, 'the lost ones are there at 0');
    is(scalar keys %{ $m->{echo_client_load_errors}{samples} }, 8, 'each kind of error is there');
    is(value($m, 'echo_client_load_exit_code', "{$to}"), 0, 'the exit code');
    is(value($m, 'echo_client_load_connects', "{$to}"), 5, 'the connects');
    cmp_ok(abs(value($m, 'echo_client_load_start_timestamp_seconds', "{$to}") - time), '<', 60, 'the time of the start');
    for my $name ('connect', 'reply') {
        my $full   = "echo_client_load_${name}_duration_seconds";
        my $count  = $name eq 'connect' ? 5 : 500;
        my @bounds = map { 0.00005 * 2**$_ } 0 .. 19;
        my @there  = grep { $_ ne '+Inf' } map { /le="([^"]+)"/ } keys %{ $m->{$full}{samples} };
        is(join(' ', sort { $a <=> $b } @there), join(' ', map { sprintf('%.5f', $_) =~ s/0+$//r } @bounds), "$name: 20 bounds, each twice the one before, from 50 us on, as short as can be");
        my @values = map { value($m, "${full}_bucket", qq({$to,le="$_"})) } (sort { $a <=> $b } @there), '+Inf';
        is("@values", join(' ', sort { $a <=> $b } @values), "$name: what is below a bound is below the next, too");
        is($values[-1], $count, "$name: all are below the last");
        is(value($m, "${full}_count", "{$to}"), $count, "$name: their number");
        cmp_ok(value($m, "${full}_sum", "{$to}"), '>', 0, "$name: their sum");
    }
    # The documents name what there is.
    my %documented = map { $_ => 1 } map { /`(\w+)`/g } map { /^\| (`.*?) \| / } slurp('docs/load.md') =~ /^\| `echo_client_load_….*?\n((?:\|.*\n)+)/m ? split /\n/, $1 : ();
    is(join(' ', sort keys %documented), join(' ', sort map { s/^echo_client_load_//r } keys %$m), 'docs/load.md has each metric once, and nothing else');

    ($code, $out) = load(free_port(), '--duration', '100ms', '--report', 'prometheus', '--retry', '0s');
    $m = parse_exposition($out);
    ok(ref $m, 'a load without a server: it is the text format') or diag($m);
    is($code, 4, 'a load without a server: exit 4');
    is(join(' ', map { $_->{samples} ? values %{ $_->{samples} } : () } ref $m ? $m->{echo_client_load_exit_code} : ()), '4', 'a load without a server: the report has it');
};

# ---- HdrHistogram --------------------------------------------------------------------------
# What HdrHistogram's plotter makes of it: lines of four numbers that do not begin with #.
sub plot {
    my ($text) = @_;
    my @points;
    for my $line (split /\n/, $text) {
        my @values = split ' ', $line;
        push @points, \@values if $line !~ /^\s*#/ && @values == 4 && $values[0] =~ /^[\d.]+$/;
    }
    return @points;
}

group 'HdrHistogram' => sub {
    my ($code, $out, $err) = load($port, '--messages', 3000, '--report', 'hgrm');
    is("$code $err", '0 ', 'exit 0, nothing on stderr');
    like($out, qr/\A +Value +Percentile +TotalCount 1\/\(1-Percentile\)\n\n/, 'it begins with the names of the columns and an empty line');
    my ($body, $mean, $deviation, $max, $total, $buckets, $sub) = $out =~ /\A.*\n\n((?: +\d.*\n)+)#\[Mean    = +([\d.]+), StdDeviation   = +([\d.]+)\]\n#\[Max     = +([\d.]+), Total count    = +(\d+)\]\n#\[Buckets = +(\d+), SubBuckets     = +(\d+)\]\n\z/;
    ok(defined $sub, 'it ends with three lines of totals') or diag($out) && return;
    my @lines = split /\n/, $body;
    like($_, qr/^ +\d+\.\d{6} +[01]\.\d{12} +\d+(?: +\d+\.\d\d)?$/, 'a line has blanks before it, and four columns') for @lines[0, $#lines / 2];
    my @points = plot($out);
    is(scalar @points, @lines - 1, 'the plotter gets each line but the last');
    like($lines[-1], qr/^ +\S+ +1\.0{12} +3000$/, 'the last line has 100 % and no fourth column');
    is(join(' ', map { $_->[1] } @points[0 .. 7]), join(' ', map { sprintf '%.12f', $_ } 0, .1, .2, .3, .4, .5, .55, .6), 'five steps for half of the distance, then five for half of the rest');
    is(scalar(grep { abs(1 / (1 - $_->[1]) - $_->[3]) > 0.01 + $_->[3] / 1e6 } @points), 0, 'the fourth column follows from the second');
    for my $column (0 .. 3) {
        my @values = map { $_->[$column] } @points;
        is("@values", join(' ', sort { $a <=> $b } @values), "column $column never falls");
    }
    is(scalar(grep { $_->[2] < $_->[1] * 3000 - 1e-6 } @points), 0, 'as many replies are counted as the percentile says, or more');
    is("$total " . ((split ' ', $lines[-1])[0] - $max), '3000 0', 'the last value is the longest, the total is all');
    cmp_ok($mean, '>=', $points[0][0], 'the mean is not below the least');
    cmp_ok($mean, '<=', $max, 'nor above the most');
    cmp_ok($deviation, '<=', $max, 'the deviation is not above the most');
    is("$buckets $sub", '29 256', 'the buckets, as HdrHistogram counts them');

    # 20 ms for each: a value is milliseconds.
    my $slow = odd_server(sub { my ($s) = @_; while (sysread $s, my $bytes, 65536) { sleep 0.02; syswrite $s, $bytes } });
    ($code, $out) = load($slow->{port}, '--messages', 10, '--connections', 1, '--report', 'hgrm');
    my ($median) = map { $_->[0] } grep { $_->[1] == 0.5 } plot($out);
    cmp_ok($median, '>=', 19.9, 'replies of 20 ms: values are milliseconds');
    cmp_ok($median, '<', 200, 'replies of 20 ms: and no other unit');
    ($code, $out) = load(free_port(), '--duration', '100ms', '--report', 'hgrm', '--retry', '0s');
    is("$code " . scalar(plot($out)), '4 0', 'nothing was echoed: exit 4, no lines');
    like($out, qr/\n#\[Max     = +0\.000000, Total count    = +0\]\n/, 'nothing was echoed: the totals are 0');
};

# ---- the timeline --------------------------------------------------------------------------
sub timeline {
    my ($to, @arguments) = @_;
    my ($code, $out, $err) = load($to, '--json', @arguments);
    my $report = eval { decode_json($out) };
    ok($report, "the report of @arguments is one JSON object") or diag($out, $err);
    return ($code, $report // {}, @{ ($report->{timeline} // {})->{intervals} // [] });
}

# Do the intervals follow each other, and have together what the report has?
sub check_sums {
    my ($r, @rows) = @_;
    my ($at, %sum) = (0);
    for my $row (@rows) {
        is($row->{at_ns}, $at, "the interval at $at begins where the one before ends");
        $at += $row->{length_ns};
        $sum{$_} += $row->{$_} for qw(sent echoed lost);
        $sum{$_} += $row->{errors}{$_} for keys %{ $row->{errors} };
    }
    is("$sum{sent} $sum{echoed} $sum{lost}", "$r->{messages_sent} $r->{messages_echoed} $r->{messages_lost}", 'all messages are in the intervals');
    is(join(' ', map { "$_ $sum{$_}" } sort keys %{ $r->{errors} }), join(' ', map { "$_ $r->{errors}{$_}" } sort keys %{ $r->{errors} }), 'all errors are in the intervals');
    return $at;
}

group 'a timeline' => sub {
    my (undef, $r) = timeline($port, '--messages', 10);
    ok(!exists $r->{timeline}, 'that was not asked for: there is none');
    for my $threads (1, 3) {
        my ($code, $r, @rows) = timeline($port, '--duration', '900ms', '--warmup', '150ms', '--timeline', '200ms', '--threads', $threads);
        is("$code " . @rows, '0 6', "$threads threads: exit 0, an interval for each 200 ms");
        is(check_sums($r, @rows), 1_050_000_000, "$threads threads: it is as long as the load with its warm-up");
        is(scalar(grep { $_->{connections} != 10 } @rows), 0, "$threads threads: ten connections are open all the time");
        is(scalar(grep { !($_->{echoed} > 0 && $_->{p50_ns} > 0 && $_->{p50_ns} <= $_->{p99_ns} && $_->{p99_ns} <= $_->{max_ns}) } @rows), 0, "$threads threads: each has latencies");
        my ($longest) = sort { $b <=> $a } map { $_->{max_ns} } @rows;
        cmp_ok($longest, '>=', $r->{reply}{max_ns}, "$threads threads: the longest reply is in one of them");
        is("$r->{timeline}{asked_ns} $r->{timeline}{interval_ns} $r->{timeline}{is_wider}", '200000000 200000000 0', "$threads threads: it is as fine as was asked for");
    }
};

# A server that is stopped for a while and goes on, in an open loop.
group 'a server that sleeps' => sub {
    my $sleeper = start_server();
    my $client  = start_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$sleeper->{port}", '--rate', 200, '--duration', '4s', '--timeline', '500ms', '--json']);
    wait_for_log($sleeper, qr/connection 10 .* accepted/);
    sleep 1.2;
    kill 'STOP', $sleeper->{pid};
    sleep 1.7;
    kill 'CONT', $sleeper->{pid};
    is(exit_of($client, 30), 0, 'exit 0');
    my $r    = eval { decode_json(log_of($client)) } // {};
    my @rows = @{ $r->{timeline}{intervals} // [] };
    is(scalar @rows, 8, 'there are eight intervals');
    check_sums($r, @rows);
    cmp_ok(scalar(grep { $_->{echoed} == 0 } @rows), '>=', 2, 'while it sleeps nothing is echoed');
    cmp_ok(scalar(grep { $_->{max_ns} > 1e9 } @rows), '>=', 1, 'the interval in which it goes on has the long latencies');
    cmp_ok($rows[0]{p50_ns}, '<', 0.5e9, 'the first interval has none of them');
    is(stop_program($sleeper), 0, 'SIGTERM ends the server with 0');
};

# One that goes away and comes back: errors are in the interval in which they were.
group 'a server that restarts' => sub {
    my $first  = start_server();
    my $client = start_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$first->{port}", '--duration', '5s', '--timeline', '500ms', '--retry', '50ms', '--json', '--threads', 2]);
    wait_for_log($first, qr/connection 10 .* accepted/);
    sleep 0.8;
    kill 'KILL', $first->{pid};
    exit_of($first);
    sleep 1.2;
    my $second = start_server(port => $first->{port});
    exit_of($client, 30);
    my $r    = eval { decode_json(log_of($client)) } // {};
    my @rows = @{ $r->{timeline}{intervals} // [] };
    is(scalar @rows, 10, 'there are ten intervals');
    check_sums($r, @rows);
    cmp_ok(scalar(grep { $_->{echoed} == 0 && $_->{errors}{refused} > 0 && $_->{connections} == 0 } @rows), '>=', 1, 'while it is away there are refusals and no connections');
    is("$rows[0]{errors}{refused} $rows[0]{connections}", '0 10', 'before there are none');
    cmp_ok($rows[-1]{echoed}, '>', 0, 'when it is back messages are echoed');
    is(stop_program($second), 0, 'SIGTERM ends the server with 0');
};

group 'a signal' => sub {
    my $target = start_server();
    my $client = start_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$target->{port}", '--duration', '1m', '--timeline', '1s', '--json']);
    wait_for_log($target, qr/connection 10 .* accepted/);
    sleep 1.5;
    is(stop_program($client), 0, 'exit 0');
    my $r    = eval { decode_json(log_of($client)) } // {};
    my @rows = @{ $r->{timeline}{intervals} // [] };
    cmp_ok(scalar @rows, '>=', 1, 'there is what was until then');
    check_sums($r, @rows);
    cmp_ok($rows[-1]{length_ns}, '<=', 1e9, 'the last interval is as long as it went');
    is(stop_program($target), 0, 'SIGTERM ends the server with 0');
};

group 'long loads' => sub {
    my (undef, $r) = timeline($port, '--duration', '8760h', '--messages', 10, '--timeline', '100ms');
    is($r->{timeline}{interval_ns} / 1e8, 3650, 'a year of 100 ms: intervals are 3650 times as wide, so that 86,400 are enough');
    ok($r->{timeline}{is_wider}, 'a year of 100 ms: the report says so');
    is($r->{timeline}{asked_ns}, 100_000_000, 'a year of 100 ms: and what was asked for');
    (undef, $r) = timeline($port, '--duration', '0', '--messages', 10, '--timeline', '100ms');
    is($r->{timeline}{interval_ns}, 100_000_000, 'no end: it begins with what was asked for');
};

group 'lines' => sub {
    my ($code, $out, $err) = load($port, '--duration', '500ms', '--timeline', '100ms', '--quiet', '--log-level', 'debug', '--threads', 2);
    is("$code $out", '0 ', 'exit 0, nothing on stdout');
    my @lines = grep { / DEBUG from \S+s: \d+ sent, \d+ echoed, 0 lost, 10 open, p50 \S+, p99 \S+, max \S+, errors: nothing$/ } split /\n/, $err;
    is(scalar @lines, 5, 'a line for each interval') or diag $err;
    ($code, $out, $err) = load($port, '--duration', '300ms', '--timeline', '100ms', '--json', '--log-level', 'debug', '--log-format', 'json');
    my $rows  = (eval { decode_json($out) } // {})->{timeline}{intervals} // [];
    my @events = grep { $_->{event} eq 'interval' } map { decode_json($_) } split /\n/, $err;
    is(join(' ', map { my $e = $_; map { $e->{$_} } qw(at_ns sent echoed lost connections p50_ns p99_ns max_ns) } @events),
        join(' ', map { my $r = $_; map { $r->{$_} } qw(at_ns sent echoed lost connections p50_ns p99_ns max_ns) } @$rows), 'as JSON: an event for each, with the numbers of the report');
    my $command = "exec $Echolab::build/echo-client --load 127.0.0.1:$port --duration 600ms --timeline 200ms --log-level debug";
    my $tty = `script -qfec '$command' /dev/null </dev/null`;
    is(scalar(() = $tty =~ /^\d\S+ \S+ DEBUG from \S+s: .*\r$/mg), 3, 'on a terminal, too') or diag $tty;
    unlike($tty, qr/\033/, 'on a terminal: they take the place of the live line');
};

# ---- what cannot be ------------------------------------------------------------------------
for my $case (
    [qr/^--timeline: nothing shows it; allowed: with --json or --log-level debug$/, '--timeline', '1s'],
    [qr/^--timeline: nothing shows it; allowed: with --json or --log-level debug$/, '--timeline', '1s', '--report', 'prometheus'],
    [qr/^--timeline: too short; allowed: 0s, 100ms to 24h$/, '--timeline', '99ms', '--json'],
    [qr/^--timeline: 'often' is not a duration; allowed: 0s to 24h, /, '--timeline', 'often'],
    [qr/^--report: 'prom' is not one of the choices; allowed: text, none, json, csv, prometheus, hgrm, tap, junit$/, '--report', 'prom'],
    [qr/^--csv-header, --report: only CSV has columns; allowed: --csv$/, '--csv-header', '--report', 'hgrm'],
) {
    my ($told, @how) = @$case;
    my ($code, $out, $err) = load($port, @how);
    is("$code $out", '2 ', "@how: exit 2, nothing on stdout");
    like($err, $told, "@how: stderr says why");
    is(scalar(() = $err =~ /\n/g), 1, "@how: stderr has one line");
}
for my $form ('prometheus', 'hgrm') {
    my ($code, undef, $err) = run_program(["$Echolab::build/echo-client", '--load', "127.0.0.1:$port", '--messages', 10, '--report', $form], stdout => '/dev/full');
    is($code, 1, "a full disk, $form: exit 1");
    like($err, qr/ERROR cannot print the report: No space left on device$/, "a full disk, $form: stderr says why");
    ($code, my $out, $err) = run_program(["$Echolab::build/echo-client", '--examine', "127.0.0.1:$port", '--report', $form]);
    is("$code $out", '2 ', "an examination, $form: exit 2");
    like($err, qr/^report: it is for --load; allowed: text, none, json, tap, junit$/, "an examination, $form: stderr says why");
}

is(stop_program($server), 0, 'SIGTERM ends the server with 0');
done_testing();
