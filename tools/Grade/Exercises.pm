package Grade::Exercises;

# The exercises, what each is worth, and how it is judged. Each look has a container of its own,
# so that what one breaks does not count in another.
#
# A check is { id, exercise, title, possible, points, result, seen, remark, seconds }; the remark
# is what a teacher would write beside it, and is empty where all is well.

use strict;
use warnings;
use Grade::Lab;
use JSON::PP;
use Time::HiRes qw(sleep time);

use constant {
    CLIENTS       => 5,
    TALKERS       => 5,
    SILENT        => 3,
    CONNECTIONS   => 10_000,
    WARM_UP       => 500,
    GROWTH_BYTES  => 2_500_000,  # about 256 bytes a connection
    GROWTH_TASKS  => 100,        # processes and threads that a pool may start
    OTHER_PORT    => 23456,
    OTHER_BACKLOG => 3,
    EXAMINE_S     => 200,
    LOAD_S        => 30,
};

# The examiner's checks that belong to other exercises than the first.
my %exercise_of = (
    'half-close' => 3, parallel => 5, 'deaf-peer' => 5, sequence => 5, reset => 5, backlog => 5, bounded => 5,
);

# These cost no point: with the exercise's own backlog of 5 a right server fails.
my %is_free = (backlog => 1);

# What a teacher writes where a check of the examiner failed.
my %remark_of = (
    'one-byte'    => 'A single byte must come back at once: return what recv() brings, do not wait for a newline or a full buffer, and add nothing.',
    'one-mib'     => 'A long message does not come back whole: send() may take only a part. Look at what it returns and send the rest (sendall() in Python).',
    bytewise      => 'Each byte that comes alone must come back: TCP has no messages, a read brings any part of them.',
    'all-bytes'   => 'Some byte values change or get lost: treat what comes as bytes, not as text. No strlen(), no decode(), no strip().',
    'utf8-cut'    => 'A character that comes in two reads is lost or changed: return the bytes, do not decode them.',
    'two-in-one'  => 'Two messages that arrive together must both come back: return all that a read brings.',
    'one-in-two'  => 'A message that arrives in two parts must come back in full: go on reading after the first part.',
    pipelining    => 'A client may send many messages before it reads: all must come back, in order. Send the rest of each partial send().',
    'half-close'  => 'After the client ended its direction (nc does so at the end of its input) all that is left must be sent, then the server must end its own direction: shutdown() or close() after the last byte.',
    'slow-reader' => 'Bytes get lost when the client reads slowly: keep what send() did not take, and send it later.',
    parallel      => 'One silent client blocks all the others: serve each connection on its own (a thread or process for each, or select()/poll()).',
    'deaf-peer'   => 'A client that does not read stops the others: a send() that blocks must hold up its own connection only.',
    sequence      => 'It does not survive 1,000 connections one after another: close each socket, and end or join each thread, when its connection is over.',
    reset         => 'A client that resets its connection takes the server down or blocks it: ECONNRESET and EPIPE end one connection, not the server.',
    backlog       => 'Many connections at once are not all served: call accept() again at once, and let the backlog be larger. This costs no point.',
    bounded       => 'It reads on from a client that never reads and keeps all of it in memory: stop reading until the client takes its bytes.',
);

# The exercises in their order: number, what it asks for.
our @exercises = (
    [1,   'an echo server, byte by byte'],
    [1.1, 'N clients from a script'],
    [2,   'its configuration comes from outside the image'],
    [3,   'netcat from inside the network'],
    [4,   'a graceful end at SIGTERM'],
    [5,   'many connections at once'],
);

# What is judged: exercise, name, title, points.
our @worth = (
    [1,   'echo',         'every byte comes back, and nothing else', 5],
    [1.1, 'clients',      CLIENTS . ' clients in containers of their own get their echoes', 2],
    [2,   'port',         'the port follows a mounted file or the environment', 2],
    [2,   'backlog',      'so does the backlog', 1],
    [3,   'netcat',       'netcat beside it gets its message back, with no port published', 1],
    [3,   'half-close',   'the rest, and the end, come after the client ended its direction', 1],
    [4,   'idle',         'SIGTERM ends it with 0 while ' . SILENT . ' clients are silent', 1],
    [4,   'closes',       'each close is logged: the listener, and every connection', 1],
    [4,   'talking',      'SIGTERM ends it with 0 while ' . TALKERS . ' clients talk', 1],
    [4,   'answered',     'every message that was sent before SIGTERM is echoed', 1],
    [5,   'crowd',        'no client blocks the others; connections are released', 2],
    [5,   'ten-thousand', '10,000 connections are served', 1],
    [5,   'memory',       'they leave no memory, thread or process behind', 1],
);

# lab: Grade::Lab; config: { path, target } of a file that the image needs, or undef; tell: called
# with what is done now.
sub new { my ($class, %self) = @_; return bless { checks => [], character => [], tell => sub { }, %self }, $class }

# Of the row of @worth with this name; how: result, points, seen, remark.
sub check {
    my ($self, $id, %how) = @_;
    my ($row) = grep { $_->[1] eq $id } @worth;
    my ($exercise, undef, $title, $possible) = @$row;
    my $check = { exercise => "$exercise", id => $id, title => $title, possible => $possible, seen => '', remark => '', %how };
    $check->{points} = $check->{result} eq 'pass' ? $possible : $how{points} // 0;
    push @{ $self->{checks} }, $check;
    return $check;
}

# A check that fails where there is a remark.
sub judge {
    my ($self, $id, $seen, $remark) = @_;
    return $self->check($id, seen => $seen, remark => $remark // '', result => ($remark // '') eq '' ? 'pass' : 'fail');
}

# All of them. False if the image does not serve at all: why is in {why} then.
sub judge_all {
    my ($self) = @_;
    my $server = $self->start;
    $self->{why} = $server->{why};
    if (defined $server->{why}) {
        $self->judge($_->[1], 'not judged', 'It serves nobody.') for @worth;
        return 0;
    }
    $self->judge_echo($server);
    $self->judge_clients;
    $self->judge_configuration;
    $self->judge_netcat;
    $self->judge_idle_stop;
    $self->judge_busy_stop;
    $self->judge_memory;
    my %place = map { ($worth[$_][1] => $_) } 0 .. $#worth;
    @{ $self->{checks} } = sort { $place{ $a->{id} } <=> $place{ $b->{id} } } @{ $self->{checks} };
    return 1;
}

# A server with the file of CONFIG, and more files or variables.
sub start {
    my ($self, %how) = @_;
    my @files = @{ $how{files} // $self->given_files };
    return $self->{lab}->start_server(env => $how{env}, files => \@files);
}

sub given_files {
    my ($self) = @_;
    my $config = $self->{config} or return [];
    return $self->{given} //= $self->placed($self->{lab}->put_file('config', $config->{text}));
}

# A server that must be there for checks: undef, and they fail, where it does not start.
sub start_for {
    my ($self, @ids) = @_;
    my $server = $self->start;
    return $server if !defined $server->{why};
    $self->judge($_, $server->{why}, "It did not start again: $server->{why}.") for @ids;
    return undef;
}

sub address { my ($server) = @_; return "server:$server->{port}" }

# ---- 1: the examiner ---------------------------------------------------------------------------

sub judge_echo {
    my ($self, $server) = @_;
    $self->{tell}->('the examiner talks to it');
    my $result = $self->{lab}->client(EXAMINE_S, '--examine', address($server), '--json', '--timeout', '3s');
    my $report = eval { decode_json($result->{out} =~ /^(\{.*\})\s*$/ms ? $1 : '') };
    die 'the examiner failed: ' . Grade::Lab::last_lines($result->{out}, 2) . "\n" if !$report || !$report->{checks};
    $self->{character} = $report->{character} // [];
    $self->{examiner}  = $report;
    my %group;
    push @{ $group{ $exercise_of{ $_->{id} } // 1 } }, $_ for @{ $report->{checks} };
    $self->take_findings('echo', $group{1});
    $self->take_findings('half-close', $group{3});
    $self->take_findings('crowd', $group{5});
    $self->{excess} = $self->{lab}->excess($server);
    $self->{lab}->remove($server);
    return;
}

# Several findings of the examiner become one check: each demanded one that failed costs a point,
# unless it is free.
sub take_findings {
    my ($self, $id, $findings) = @_;
    my ($possible) = map { $_->[3] } grep { $_->[1] eq $id } @worth;
    my @demanded = grep { $_->{demanded} } @{ $findings // [] };
    my @failed   = grep { $_->{result} ne 'pass' } @demanded;
    my $lost     = grep { !$is_free{ $_->{id} } } @failed;
    my $left     = $possible - $lost;
    my $passed   = @demanded - @failed;
    return $self->check($id,
        result => !@demanded || $lost ? 'fail' : 'pass',
        points => @demanded && $left > 0 ? $left : 0,
        seen   => "$passed of " . @demanded . ' checks passed',
        remark => join("\n", $self->for_character($id), remarks_for($id, @failed)));
}

# A byte that is wrong fails many checks, and says nothing of what the others look at.
sub remarks_for {
    my ($id, @failed) = @_;
    my @wrong   = grep { is_wrong_byte($_) && ($id ne 'echo' || is_one_bit($_)) } @failed;
    my %is_told = map { ($_->{id} => 1) } @wrong;
    my @remarks = map { remark_for($_) } grep { !$is_told{ $_->{id} } } @failed;
    return @remarks if !@wrong;
    my $where = join ', ', map { $_->{id} } @wrong;
    return ($id eq 'echo' ? "One bit comes back wrong ($wrong[0]{seen}): return the bytes as they came; look for a mask, a cast or a wrong index. ($where)"
                          : "Bytes are wrong here, too, or missing ($where: $wrong[0]{seen}): see exercise 1.", @remarks);
}

sub is_wrong_byte { my ($finding) = @_; return $finding->{seen} =~ /\bbyte \d+ is 0x[0-9a-f]{2}.*, expected 0x[0-9a-f]{2}/ }

sub is_one_bit {
    my ($finding) = @_;
    my ($got, $expected) = $finding->{seen} =~ /\bbyte \d+ is 0x([0-9a-f]{2}).*, expected 0x([0-9a-f]{2})/ or return 0;
    return 1 == (sprintf('%b', hex($got) ^ hex $expected) =~ tr/1//);
}

sub remark_for {
    my ($finding) = @_;
    my $remark = $remark_of{ $finding->{id} } // ucfirst "$finding->{title}: $finding->{why}.";
    return "$remark ($finding->{id}: $finding->{seen})";
}

# The remarks on the echo begin with what kind of server it is.
sub for_character {
    my ($self, $id) = @_;
    my @traits = grep { /prefix|suffix|per connection|line at a time|speaks first|newline|floods|other bytes/ } @{ $self->{character} };
    return $id eq 'echo' && @traits ? 'It is no plain echo server: ' . join(', ', @traits) . '.' : ();
}

# ---- 1.1: N clients ------------------------------------------------------------------------------

sub judge_clients {
    my ($self) = @_;
    $self->{tell}->(CLIENTS . ' clients, each in a container');
    my $server = $self->start_for('clients') or return;
    my @names = map {
        $self->{lab}->start_client('--server-address', address($server), '--id', $_, '--count', 3, '--loop-period', '200ms', '--timeout', '2s')
    } 1 .. CLIENTS;
    my @codes = map { $self->{lab}->exit_of($_, 20) // 'none' } @names;
    my $served = grep { $_ eq '0' } @codes;
    my ($unserved) = grep { $codes[$_] ne '0' } 0 .. $#codes;
    my $remark = $served == CLIENTS ? ''
      : "Only $served of " . CLIENTS . ' clients got every echo; client ' . ($unserved + 1) . ' says: ' . $self->complaint($names[$unserved]);
    $self->judge('clients', "$served of " . CLIENTS . ' clients got every echo', $remark);
    $self->{lab}->remove($_) for $server, map { { name => $_ } } @names;
    return;
}

# The first line of a client's log that is more than information, without its time.
sub complaint {
    my ($self, $name) = @_;
    my $log = $self->{lab}->docker(['logs', $name])->{out};
    my ($line) = $log =~ /^\S+ \S+ (?:WARN|ERROR) +(.*)/m;
    return Grade::Lab::last_lines($line // $log, 1);
}

# ---- 2: configuration ----------------------------------------------------------------------------

# A file at the places where the image may look for it: CONFIG's target, else the exercise's own
# and this repository's.
sub placed {
    my ($self, $path, $ours) = @_;
    my $config = $self->{config};
    return [[$path, $config->{target}]] if $config && $config->{target};
    my $folder = $self->{lab}{folder} =~ s{/*$}{}r;
    my @names  = $config ? ($config->{name}, 'config.ini') : ('config.ini');
    my %targets = map { ("/$_" => 1, "$folder/$_" => 1) } @names;
    return [(map { [$path, $_] } sort keys %targets), $ours ? [$ours, '/etc/echolab/server.ini'] : ()];
}

# Files that say another port and backlog.
sub other_files {
    my ($self) = @_;
    my ($port, $backlog, $lab) = (OTHER_PORT, OTHER_BACKLOG, $self->{lab});
    if (my $config = $self->{config}) {
        my $text = $config->{text};
        $text =~ s/^(\s*["']?[\w.]*port["']?\s*[=:]\s*)\d+/$1$port/im;
        $text =~ s/^(\s*["']?[\w.]*backlog["']?\s*[=:]\s*)\d+/$1$backlog/im;
        return $self->placed($lab->put_file('config', $text));
    }
    return $self->placed(
        $lab->put_file('config.ini', "[DEFAULT]\nSERVER_PORT = $port\nSERVER_IP = server\nSERVER_LISTEN_BACKLOG = $backlog\nLOGGING_LEVEL = INFO\n"),
        $lab->put_file('server.ini', "[server]\nport = $port\nlisten_backlog = $backlog\n"));
}

sub judge_configuration {
    my ($self) = @_;
    my %ways = (
        'a mounted file' => { files => $self->other_files },
        'the environment' => { env => { SERVER_PORT => OTHER_PORT, SERVER_LISTEN_BACKLOG => OTHER_BACKLOG } },
    );
    my (@port, @backlog, @why);
    for my $way (sort keys %ways) {
        $self->{tell}->("configured by $way");
        my $server = $self->start(%{ $ways{$way} });
        if (defined $server->{why}) { push @why, "with $way: $server->{why}" }
        elsif ($server->{port} == OTHER_PORT) {
            push @port, $way;
            my $queued = $self->queue_of($server);
            push @backlog, $way if $queued == OTHER_BACKLOG || $queued == OTHER_BACKLOG + 1;
            push @why, "with $way a backlog of " . OTHER_BACKLOG . " let $queued connections wait" if !@backlog;
        } else { push @why, "with $way it listened on port $server->{port}" }
        $self->{lab}->remove($server);
    }
    my $why = @why ? ' (' . join('; ', @why) . ')' : '';
    $self->judge('port', @port ? 'by ' . join(' and ', @port) : 'by neither',
        @port ? '' : 'A change of the port needs another image: read SERVER_PORT, or a file that a volume brings, at each start.' . $why);
    $self->judge('backlog', @backlog ? 'by ' . join(' and ', @backlog) : 'by neither',
        @backlog ? '' : 'listen() does not get the configured backlog (SERVER_LISTEN_BACKLOG).' . $why);
    return;
}

# How many connections wait while the server is paused and more come than its backlog holds.
sub queue_of {
    my ($self, $server) = @_;
    my $lab = $self->{lab};
    $lab->docker(['pause', $server->{name}]);
    my $client = $lab->start_client('--load', address($server), '--connections', 32, '--duration', '3s', '--timeout', '3s', '--quiet');
    my $queue = 0;
    for (1 .. 10) {
        my ($listener) = grep { $_->{port} == $server->{port} } $lab->listening($server);
        my $now = $listener ? $listener->{queue} : 0;
        last if $now > 0 && $now == $queue;
        $queue = $now;
    }
    $lab->docker(['unpause', $server->{name}]);
    $lab->remove({ name => $client });
    return $queue;
}

# ---- 3: netcat -----------------------------------------------------------------------------------

sub judge_netcat {
    my ($self) = @_;
    $self->{tell}->('netcat');
    my $server = $self->start_for('netcat') or return;
    my $result = $self->{lab}->bench("HOST=server PORT=$server->{port} TIMEOUT_S=3 MESSAGE='hola netcat' sh /netcat.sh", 20);
    my $published = keys %{ $self->{lab}->inspect($server->{name})->{HostConfig}{PortBindings} // {} };
    my $said = Grade::Lab::last_lines($result->{out}, 1);
    my $is_good = $result->{code} == 0 && !$published;
    $self->judge('netcat', $said, $is_good ? '' : "netcat's message did not come back exactly: $said.");
    $self->{lab}->remove($server);
    return;
}

# ---- 4: SIGTERM ----------------------------------------------------------------------------------

# What the exit code of a stopped server says, as a remark; nothing for 0.
sub remark_on_end {
    my ($self, $server, $code, $seconds) = @_;
    return '' if defined $code && $code == 0;
    my $grace = Grade::Lab::GRACE_S();
    return "It does not end at SIGTERM: after $grace s Docker killed it (137). Handle the signal, wake what waits in accept() and recv(), and return from main." if !defined $code || $code == 137;
    return 'SIGTERM killed it (143): handle the signal, close what is open, and exit with 0.' if $code == 143;
    return "It ended with $code instead of 0 at SIGTERM; " . $self->{lab}->what_it_said($server) . '.';
}

sub ended { my ($code, $seconds) = @_; return sprintf 'exit code %s after %.1f s', $code // 'none', $seconds }

# Words of a line that tells that something is closed; not those of a program that stops or exits.
my $closing = qr/clos|shut|\bend|finish|disconnect|releas|terminat|cerr|desconect|finaliz|liber/i;

sub judge_idle_stop {
    my ($self) = @_;
    $self->{tell}->('SIGTERM while clients are silent');
    my $server = $self->start_for('idle', 'closes') or return;
    my $lab = $self->{lab};
    $lab->bench_start("cd /tmp && rm -f got.* && for i in \$(seq " . SILENT . "); do (echo hello; sleep 60) | nc server $server->{port} >got.\$i & done; wait");
    $lab->bench_until('[ "$(cat /tmp/got.* 2>/dev/null | grep -c hello)" -ge ' . SILENT . ' ]', 3);
    my $open = $lab->bench('cat /tmp/got.* | grep -c hello')->{out} =~ /^(\d+)/ ? $1 : 0;
    my $before = $lab->log_lines($server);
    my ($code, $seconds) = $lab->stop($server);
    my @lines  = $lab->log_lines($server);
    my $closes = grep { /$closing/ } @lines[$before .. $#lines];
    $self->judge('idle', ended($code, $seconds), $self->remark_on_end($server, $code, $seconds));
    my $least = $open + 1;
    $self->judge('closes', "$closes line" . ($closes == 1 ? '' : 's') . " about closing, $open connections and the listener were open",
        $closes >= $least ? '' : "It logged $closes closes at SIGTERM, and $least were due: say in the log when the listener and when each connection is closed.");
    $self->end_talks($server);
    return;
}

sub end_talks {
    my ($self, $server) = @_;
    $self->{lab}->bench('killall nc 2>/dev/null; true');
    $self->{lab}->remove($server);
    return;
}

# Each talker sends a line every 100 ms until /tmp/go is there, then its last one, and says how many
# it has sent. The server is paused meanwhile, so that the last lines wait for it together with the
# signal: docker stop sends that first and then lets it go on.
sub judge_busy_stop {
    my ($self) = @_;
    $self->{tell}->('SIGTERM while clients talk');
    my $server = $self->start_for('talking', 'answered') or return;
    my $lab = $self->{lab};
    $lab->bench_start("cd /tmp && rm -f got.* sent.* go && for i in \$(seq " . TALKERS . '); do
        (n=1; while [ ! -e go ]; do echo "client $i message $n"; n=$((n + 1)); sleep 0.1; done
         echo "client $i message $n"; echo $n >sent.$i; sleep 60) | nc server ' . $server->{port} . ' >got.$i & done; wait');
    my $is_talking = $lab->bench_until('[ "$(grep -l "message 3" /tmp/got.* 2>/dev/null | wc -l)" -ge ' . TALKERS . ' ]', 4);
    $lab->docker(['pause', $server->{name}]);
    $lab->bench('touch /tmp/go');
    $lab->bench_until('[ "$(cat /tmp/sent.* 2>/dev/null | wc -l)" -ge ' . TALKERS . ' ]', 3);
    sleep 0.2;
    my ($code, $seconds) = $lab->stop($server);
    sleep 0.2;
    $self->judge('talking', ended($code, $seconds), $self->remark_on_end($server, $code, $seconds));
    my ($sent, $lost) = $self->count_lost;
    $self->judge('answered', "$sent messages sent, $lost lost", $sent == 0 ? 'The clients could not talk to it.'
        : $lost > 0 ? "$lost of $sent messages that were sent before SIGTERM got no echo: read and answer what has arrived, then close."
                      . ($is_talking ? '' : ' (Before the signal not all clients got their echoes.)') : '');
    $self->end_talks($server);
    return;
}

# (messages sent, those that did not come back). A talker that could not say how many it sent was
# cut off in the middle.
sub count_lost {
    my ($self) = @_;
    my ($sent, $lost) = (0, 0);
    for my $i (1 .. TALKERS) {
        my $out  = $self->{lab}->bench("cat /tmp/sent.$i 2>/dev/null; echo; cat /tmp/got.$i")->{out};
        my %seen = map { ($_ => 1) } $out =~ /client $i message (\d+)\b/g;
        my ($most) = $out =~ /^(\d+)$/m;
        $most //= 1 + keys %seen;
        $sent += $most;
        $lost += grep { !$seen{$_} } 1 .. $most;
    }
    return ($sent, $lost);
}

# ---- 5: many connections -------------------------------------------------------------------------

# So many connections, one message each, eight at once: how many were echoed, and the exit code.
sub connections {
    my ($self, $server, $number, $seconds) = @_;
    my $result = $self->{lab}->client($seconds + 15, '--load', address($server), '--reconnect', 'yes', '--connections', 8,
        '--messages', $number, '--duration', "${seconds}s", '--timeout', '2s', '--verify', 'no', '--json');
    my $echoed = $result->{out} =~ /"messages_echoed":(\d+)/ ? $1 : 0;
    return ($echoed, $result->{code});
}

sub judge_memory {
    my ($self) = @_;
    $self->{tell}->('10,000 connections');
    my $server = $self->start_for('ten-thousand', 'memory') or return;
    my $tasks   = $self->{lab}->usage($server)->{pids};
    my ($first) = $self->connections($server, WARM_UP, 15);
    my $before  = { %{ $self->{lab}->usage($server) }, pids => $tasks };
    my ($echoed) = $first < WARM_UP ? ($first) : $self->connections($server, CONNECTIONS, LOAD_S);
    my $after   = $self->{lab}->usage($server);
    $self->judge('ten-thousand', "$echoed were served", $echoed >= CONNECTIONS ? ''
        : "After $echoed connections it served no more, or too slowly (" . LOAD_S . ' s were allowed): close each socket, and let each thread end, when its connection is over.');
    $self->judge('memory', growth_text($before, $after), growth_remark($before, $after, $echoed));
    $self->{lab}->remove($server);
    return;
}

sub kib { my ($bytes) = @_; return int $bytes / 1024 }

sub growth_text {
    my ($before, $after) = @_;
    return 'it runs no more' if !defined $after->{memory} || !defined $before->{pids};
    return kib($before->{memory} // 0) . ' KiB before, ' . kib($after->{memory}) . " KiB after; $before->{pids} and $after->{pids} processes and threads";
}

sub growth_remark {
    my ($before, $after, $echoed) = @_;
    return 'It did not survive them.' if !defined $after->{memory} || !defined $before->{memory} || !defined $before->{pids};
    my $grown = $after->{memory} - $before->{memory};
    my $left  = $after->{pids} - $before->{pids};
    return "$left threads or processes are left of connections that are over: join or detach threads, and wait for child processes." if $left > GROWTH_TASKS;
    return 'It leaks: ' . int($grown / ($echoed || 1)) . ' bytes of memory stay for each connection. Free what belongs to it when it ends.' if $grown > GROWTH_BYTES;
    return 'Too few connections were served to see whether it leaks.' if $echoed < CONNECTIONS / 5;
    return '';
}

1;
