#!/usr/bin/perl
# Events: the table in src/base/events.h, the one in docs/events.md and the JSON that the programs
# write say the same, and a message is what its fields are.
use strict;
use warnings;
use JSON::PP;
use Socket qw(:all);
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;
use Events;

my $page       = slurp('docs/events.md');
my %source     = source_events(slurp('src/base/events.h'));
my %documented = documented_events($page);
my %field      = documented_fields($page);

# ---- the tables ----------------------------------------------------------------------------
group 'src/base/events.h' => sub {
    my @macros = slurp('src/base/events.h') =~ /^#define (EVENT_\w+)/mg;
    is(join(' ', sort map { $_->{macro} } values %source), join(' ', sort @macros), 'each event was read, none has the name of another');
    is(join(' ', grep { $source{$_}{macro} ne 'EVENT_' . uc } sort keys %source), '', 'the macro and the event have the same name');
    my @odd = grep { /[^a-z0-9_]/ || length > 40 } keys %source, map { keys %{ $_->{fields} } } values %source;
    is("@odd", '', 'names are words in small letters');
    my @bad = grep { my $e = $source{$_}; @{ $e->{names} } > @{ $e->{conversions} } || grep { !/^[sdu]$/ } @{ $e->{conversions} } } sort keys %source;
    is("@bad", '', 'no more names than conversions, which are %s, %d or %u');
    my @twice = grep { my %seen; grep { $_ ne '-' && $seen{$_ =~ s/^[+#]//r}++ } @{ $source{$_}{names} } } sort keys %source;
    is("@twice", '', 'no event has a field twice');
    my @taken = grep { grep { /^[+#]?(?:time|level|event|message|worker|client)$/ } @{ $source{$_}{names} } } sort keys %source;
    is("@taken", '', 'no field has a name that every line has');
    my @many = grep { my $e = $source{$_}; (grep { $_ } values %{ $e->{fields} }) > 4 || keys %{ $e->{fields} } > 16 } sort keys %source;
    is("@many", '', 'at most 4 strings and 16 fields: they fit into a line');
};

group 'src' => sub {
    my $code  = join '', map { slurp($_) } grep { !m{/events\.h$} } glob 'src/*.c src/*/*.[ch]';
    my %used  = map { $_ => 1 } $code =~ /\b(EVENT_[A-Z0-9_]+)\b/g;
    is(join(' ', grep { !$used{ $_->{macro} } } values %source), '', 'each event is used');
    is(join(' ', $code =~ /(?<!void )\blog_line\((?!__VA_ARGS__)[^;]*/g), '', 'no line goes past the table');
    for my $name (grep { !defined $source{$_}{level} } sort keys %source) {
        my %levels = map { lc $_ => 1 } map { /LOG_(\w+)/g } $code =~ /\b$source{$name}{macro}\(([^()]*(?:\([^()]*\)[^()]*)*)\)/g;
        is(join(' ', sort @{ $documented{$name}{levels} // [] }), join(' ', sort keys %levels), "$name: the page has its levels");
    }
};

group 'docs/events.md' => sub {
    is(join(' ', sort keys %documented), join(' ', sort keys %source), 'it has each event, and no other');
    for my $name (sort keys %source) {
        my ($doc, $event) = ($documented{$name} // {}, $source{$name});
        is($doc->{text}, text_of($event), "$name: its text");
        is("@{ $doc->{levels} // [] }", $event->{level}, "$name: its level") if defined $event->{level};
        is("@{ $doc->{fields} // [] }", join(' ', map { s/^[+#]//r } grep { $_ ne '-' } @{ $event->{names} }), "$name: its fields, in their order");
    }
    my %types;
    for my $event (values %source) { $types{$_} = $event->{fields}{$_} ? 'string' : 'number' for keys %{ $event->{fields} } }
    is(join("\n", map { "$_ " . ($field{$_} ? 'string' : 'number') } sort keys %field), join("\n", map { "$_ $types{$_}" } sort keys %types), 'it has each field and its type, and no other');
    my ($example) = $page =~ /^    (\{.*\})$/m;
    is(fault_of($example, \%documented, \%field), '', 'its example is such a line');
};

# ---- the JSON of both programs -----------------------------------------------------------------
my (%seen, %workers);

sub check_lines {
    my ($what, $log, @wanted) = @_;
    my @lines = split /\n/, $log;
    my @wrong = grep { $_ ne '' } map { fault_of($_, \%documented, \%field) } @lines;
    is(join("\n", @wrong), '', "$what: each line is an event of the table, with its fields");
    my %here;
    for (@lines) {
        my $line = eval { decode_json($_) } // {};
        $here{ $line->{event} // '' }++;
        $workers{$line->{worker}} = 1 if exists $line->{worker};
    }
    $seen{$_} = 1 for keys %here;
    is(join(' ', grep { !$here{$_} } @wanted), '', "$what: there are @wanted");
    return;
}

my @json = ('--log-format', 'json', '--log-level', 'debug');
my %json = ('log-format' => 'json', 'log-level' => 'debug');
my ($server_program, $client) = map { "$Echolab::build/echo-$_" } 'server', 'client';
sub waits_for_event { my ($server, $event) = @_; return ok(wait_for_log($server, qr/"event":"$event"/), "there is $event") }

for my $workers (1, 2) {
    group "a server, $workers workers" => sub {
        my $server = start_server(%json, workers => $workers, 'drain-timeout' => '20s', 'admin-address' => '127.0.0.1:' . free_port());
        my @peers  = map { connect_to($server->{port}) } 1 .. 3;
        is(echo_of($peers[0], "a \"quoted\" \\ text\x01\xff N\xc2\xb0\n"), "a \"quoted\" \\ text\x01\xff N\xc2\xb0\n", 'an echo');
        half_close($peers[1]);
        reset_connection($peers[2]);
        receive_until_eof($peers[1]);
        kill 'USR1', $server->{pid};
        waits_for_event($server, 'worker_counters');
        send_unread(1 << 26, $peers[0]);
        my $at = sub { my ($signal, $event) = @_; kill $signal, $server->{pid}; waits_for_event($server, $event) };
        $at->('HUP', 'stopping');
        $at->('HUP', 'stopping_already');
        $at->('TERM', 'stopping_at_once');
        is(exit_of($server, 5), 1, 'it is cut: exit 1');
        check_lines('all of it', log_of($server), qw(admin listening connection_accepted message_received connection_closed counters worker_counters stopping stopping_already
            stopping_at_once connection_cut listener_closed self_pipe_closed stopped));
    };
}
is(join(' ', sort keys %workers), '1 2', 'the lines of a worker thread have its number');

group 'a drain that is too short' => sub {
    my $server = start_server(%json, 'drain-timeout' => '200ms');
    my $peer   = connect_to($server->{port});
    send_unread(1 << 26, $peer);
    is(stop_program($server), 1, 'exit 1');
    check_lines('all of it', log_of($server), qw(drain_timeout connection_cut stopped));
};

group 'what a server lacks' => sub {
    my $server = start_server(%json);
    my ($code, $out) = run_program([$server_program, @json, '--address', '127.0.0.1', '--port', $server->{port}]);
    check_lines('a port in use', $out, 'listen_failed');
    system 'prlimit', "--pid=$server->{pid}", '--nofile=' . (open_fds($server->{pid}) + 1) . ':';
    my @peers = map { connect_to($server->{port}) } 1 .. 2;
    waits_for_event($server, 'accept_failed');
    close $_ for @peers;
    stop_program($server);
    check_lines('no descriptor for a connection', log_of($server), 'accept_failed');
  SKIP: {
        skip 'an emulator needs descriptors itself', 4 if $Echolab::build =~ /aarch64/;
        my $low = start_server(%json, _wrap => ['prlimit', '--nofile=20:20']);
        stop_program($low);
        check_lines('a limit of 20 files', log_of($low), 'max_connections_lowered');
        ($code, $out) = run_program([$server_program, @json, '--port', 0], wrap => ['prlimit', '--nofile=10:10']);
        check_lines('a limit of 10 files', $out, 'files_limit_too_low');
    }
  SKIP: {
        skip 'no strace', 6 if system('strace -o /dev/null true 2>/dev/null') != 0 || $Echolab::build =~ /aarch64/;
        for (['socket:error=EAFNOSUPPORT:when=1', 'no_ipv6'], ['socket:error=EMFILE:when=2', 'no_health_checks'], ['pipe2:error=EMFILE:when=1', 'start_failed']) {
            my ($fault, $event) = @$_;
            my $strange = start_program([$server_program, @json, '--port', 0], wrap => ['strace', '-D', '-o', '/dev/null', '-e', "inject=$fault"]);
            waits_for_event($strange, $event);
            stop_program($strange);
            check_lines($fault, log_of($strange), $event);
        }
    }
};

group 'a log that may have 1,500 bytes' => sub {
    my $server = start_server(%json, _wrap => ['prlimit', '--fsize=1500:unlimited']);
    for my $n (1 .. 5) { my $s = connect_to($server->{port}); echo_of($s, 'x'); close $s }
    sleep 0.1;
    system 'prlimit', "--pid=$server->{pid}", '--fsize=unlimited:';
    close connect_to($server->{port});
    waits_for_event($server, 'log_lines_dropped');
    stop_program($server);
    my @lines = split /\n/, log_of($server);
    my ($torn) = grep { !/\}$/ } @lines;    # at the limit
    check_lines('the lines that are whole', join("\n", grep { /\}$/ } @lines), qw(log_lines_dropped listening stopped));
};

group "the client's loop" => sub {
    my $server = start_server();
    my $to     = "127.0.0.1:$server->{port}";
    my ($code, $out) = run_program([$client, $to, @json, '--id', 'N"1"', '--loop-period', '0s', '--count', 100, '--expect', 'echo']);
    is($code, 0, 'exit 0');
    check_lines('100 messages', $out, qw(message_echoed socket_closed summary times expectation self_pipe_closed));
    my @echoed = grep { $_->{event} eq 'message_echoed' } map { decode_json($_) } split /\n/, $out;
    is(scalar(grep { $_->{client} eq 'N"1"' && $_->{outcome} eq 'echoed' } @echoed), 100, 'each echo has its client and its outcome');
    is(join(' ', map { $_->{number} } @echoed), join(' ', 1 .. 100), '... its number');
    my ($summary) = grep { $_->{event} eq 'summary' } map { decode_json($_) } split /\n/, $out;
    my ($min, $max) = (sort { $a <=> $b } map { $_->{rtt_ns} } @echoed)[0, -1];
    is("$summary->{sent} $summary->{echoed} $summary->{lost} $summary->{rtt_min_ns} $summary->{rtt_max_ns}", "100 100 0 $min $max", '... and its time, as the summary has them');
    is($summary->{rtt_mean_ns}, do { my $sum = 0; $sum += $_->{rtt_ns} for @echoed; int($sum / 100) }, '... and their mean');
    ($code, $out) = run_program([$client, '127.0.0.1:' . free_port(), @json, '--once', '--expect', 'echo']);
    check_lines('refused', $out, qw(message_failed expectation));
    my $loop = start_program([$client, $to, @json]);
    waits_for_event($loop, 'message_echoed');
    is(stop_program($loop), 0, 'a signal: exit 0');
    check_lines('a signal', log_of($loop), qw(interrupted summary));
    ($code, $out) = run_program([$client, $to, @json, '--once', '--admin-address', '127.0.0.1:' . free_port()]);
    check_lines('an admin address', $out, 'admin');
    my $busy = start_server();
    ($code, $out) = run_program([$client, $to, @json, '--once', '--admin-address', "127.0.0.1:$busy->{port}"]);
    stop_program($busy);
    check_lines('an admin address in use', $out, 'listen_failed');
    my $wrong = odd_server(sub { my ($s) = @_; sysread $s, my $text, 100; syswrite $s, "\0\"\\\e[31m" . substr $text, 5 });
    ($code, $out) = run_program([$client, "127.0.0.1:$wrong->{port}", @json, '--once']);
    is($code, 6, 'another reply: exit 6');
    check_lines('another reply', $out, 'message_failed');
    ($code, $out) = run_program([$client, "127.0.0.1:$wrong->{port}", @json, '--once', '--verify', 'no']);
    check_lines('another reply, not compared', $out, 'message_echoed');
    like((grep { /"message_echoed"/ } split /\n/, $out)[0], qr/"reply":"\\\\x00\\"\\\\\\\\\\\\x1b\[31m/, '... it is escaped twice: for the log and for JSON');
    kill 'KILL', $wrong->{pid};
    stop_program($server);
};

group 'a load and an examination' => sub {
    my $server = start_server();
    my $to     = "127.0.0.1:$server->{port}";
    my $load   = sub {
        my ($what, $event, @how) = @_;
        my ($code, $out, $err) = run_program([$client, @json, '--quiet', @how]);
        check_lines($what, $err . $out, $event);
        return;
    };
    $load->('a limit', 'limit_broken', '--load', $to, '--messages', 10, '--max-p99', '1ns');
    $load->('a limit of none', 'expectation', '--load', $to, '--messages', 10, '--expect', 'refused');
    $load->('no server', 'load_fault', '--load', '127.0.0.1:' . free_port(), '--duration', '50ms');
    $load->('no name', 'not_resolved', '--load', 'no.such.name.invalid:7', '--timeout', '1s');
    $load->('a foreign source', 'source_foreign', '--load', $to, '--source', '192.0.2.1');
    $load->('another family', 'source_family', '--load', $to, '--source', '::1');
    $load->('a timeline', 'interval', '--load', $to, '--duration', '300ms', '--timeline', '100ms');
    $load->('an examination of no name', 'not_resolved', '--examine', 'no.such.name.invalid:7', '--timeout', '1s');
    my $open = () = log_of($server) =~ /accepted$/mg;
    my $run  = start_program([$client, '--load', $to, @json, '--duration', '0s', '--quiet']);
    ok(wait_for(sub { (() = log_of($server) =~ /accepted$/mg) > $open }), 'a load is connected');
    stop_program($run);
    check_lines('a signal', slurp($run->{err}), 'interrupted');
    my ($code, $out, $err) = run_program([$client, '--load', $to, @json, '--connections', 100], wrap => ['prlimit', '--nofile=50:50']);
    check_lines('too few files', $err, 'too_few_files');
    ($code, $out, $err) = run_program([$client, '--load', $to, @json, '--messages', 5], wrap => ['sh', '-c', 'exec "$@" >&-', 'sh']);
    check_lines('no stdout', $err, 'report_failed');
    my $silent = odd_server(sub { write_file("$Echolab::dir/connected", ''); sleep 20 });
    $run = start_program([$client, '--load', "127.0.0.1:$silent->{port}", @json, '--quiet']);
    ok(wait_for(sub { -e "$Echolab::dir/connected" }), 'a load is connected to a silent server');
    stop_program($run);
    check_lines('a signal before any echo', slurp($run->{err}), 'nothing_echoed');
    kill 'KILL', $silent->{pid};
    stop_program($server);
};

# Some need a kernel that lacks something, or memory that runs out.
my @unseen = grep { !$seen{$_} } sort keys %source;
my $most = $Echolab::build eq 'build/aarch64' ? 20 : 14; # qemu-user has no limits of memory and files
cmp_ok(scalar @unseen, '<=', $most, 'of ' . keys(%source) . " events all but a few were seen; not: @unseen");
done_testing;
