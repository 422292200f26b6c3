package Grade::Lab;

# A lab network for one image under judgement: its server, an own container for each look at it,
# clients beside it, and a bench with busybox. Every command has its time and a limit of what it
# may print; all that is made has this lab's label, and close() removes it.

use strict;
use warnings;
use File::Temp qw(tempdir);
use JSON::PP;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

use constant {
    START_S    => 20,              # to listen, from the start
    GRACE_S    => 10,              # from SIGTERM to SIGKILL: what docker stop gives
    PIDS       => 1024,            # processes and threads of the server
    LOG_BYTES  => 8 * 1024 * 1024, # more than that is no log
    MEMORY     => '256m',
    LISTEN     => '0A',            # states in /proc/net/tcp
    ESTABLISHED => '01',
};

# What the containers of the lab have (x-hardened in compose/base.yaml).
my @hardened = (
    qw(--user 65532:65532 --read-only --cap-drop ALL --security-opt no-new-privileges:true),
    qw(--pids-limit 128 --memory 64m --memory-swap 64m --cpu-shares 512 --ipc none),
);

# A stranger's server may be root, write, and change its user, as with docker run; it gets no way
# out, no new privileges, and no more of the machine than this.
my @fenced = (
    qw(--cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add KILL --cap-add SETGID),
    qw(--cap-add SETUID --cap-add NET_BIND_SERVICE --security-opt no-new-privileges:true),
    '--pids-limit', PIDS, '--memory', MEMORY, '--memory-swap', MEMORY, qw(--cpu-shares 512 --no-healthcheck),
    qw(--ulimit nofile=4096:4096 --ulimit fsize=67108864 --ulimit core=0),
    qw(--log-driver json-file --log-opt max-size=64m --log-opt max-file=2),
);

# image, client, busybox: images; project: begins all names; top: the repository's folder.
sub new {
    my ($class, %self) = @_;
    return bless { %self, run => "$self{project}-grade-$$", count => 0 }, $class;
}

# ---- commands ----------------------------------------------------------------------------------

# Runs a command, its input from /dev/null: { code, out, is_late, is_cut }. Whatever is not done
# in `seconds`, or prints more than `limit` bytes, is ended.
sub run {
    my ($self, $command, %how) = @_;
    my $end    = time + ($how{seconds} // 30);
    my $limit  = $how{limit} // LOG_BYTES;
    my %result = (out => '');
    pipe my $reader, my $writer or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN,  '<', '/dev/null' or POSIX::_exit(126);
        open STDOUT, '>&', $writer    or POSIX::_exit(126);
        open STDERR, '>&', $writer    or POSIX::_exit(126);
        exec @$command or POSIX::_exit(127);
    }
    $self->{child} = $pid;
    close $writer;
    while (1) {
        my $left = $end - time;
        my $bits = '';
        vec($bits, fileno $reader, 1) = 1;
        if ($left <= 0 || !select $bits, undef, undef, $left) { $result{is_late} = 1; last }
        last if !sysread $reader, $result{out}, 65536, length $result{out};
        if (length $result{out} > $limit) { $result{is_cut} = 1; last }
    }
    close $reader;
    kill 'KILL', $pid if $result{is_late} || $result{is_cut};
    waitpid $pid, 0;
    $self->{child} = undef;
    $result{code} = ($? & 127) ? 128 + ($? & 127) : $? >> 8;
    return \%result;
}

sub docker { my ($self, $arguments, %how) = @_; return $self->run(['docker', @$arguments], %how) }

# Its output, or an end of everything: what cannot fail if Docker works.
sub must {
    my ($self, @arguments) = @_;
    my $result = $self->docker(\@arguments, seconds => 60);
    return $result->{out} if $result->{code} == 0;
    die "docker $arguments[0] failed: " . last_lines($result->{out}, 1) . "\n";
}

sub last_lines {
    my ($text, $count) = @_;
    my @lines = grep { /\S/ } split /\r?\n/, $text;
    @lines = @lines[-$count .. -1] if @lines > $count;
    return join "\n", map { substr tr/\t/ /r =~ s/[^\x20-\x7e]+/?/gr, 0, 200 } @lines;
}

# ---- the network and what is in it -----------------------------------------------------------

sub open_lab {
    my ($self) = @_;
    $self->{dir} = tempdir(CLEANUP => 1);
    chmod 0755, $self->{dir};
    $self->{is_open} = 1;
    $self->must('network', 'create', '--internal', '--label', "echolab.grade=$self->{run}", $self->{run});
    my $script = $self->put_file('netcat.sh', slurp("$self->{top}/compose/netcat.sh"));
    $self->must('run', '-d', '--name', "$self->{run}-bench", $self->in_lab, @hardened, '--init',
        '--tmpfs', '/tmp:mode=1777,size=16m', '-v', "$script:/netcat.sh:ro", '--entrypoint', 'sleep', $self->{busybox}, 1800);
    return;
}

# Removes all that has the lab's label. A signal may have come in the middle of a command: what
# the engine was told to do it may do a moment later.
sub close_lab {
    my ($self) = @_;
    return if !$self->{is_open};
    if (my $child = $self->{child}) {
        kill 'KILL', $child;
        waitpid $child, 0;
        $self->remove_all;
        sleep 1;
    }
    $self->remove_all;
    $self->{is_open} = 0;
    return;
}

sub remove_all {
    my ($self) = @_;
    my @label = ('--filter', "label=echolab.grade=$self->{run}");
    my @containers = split ' ', $self->docker(['ps', '-aq', @label])->{out};
    $self->docker(['rm', '-fv', @containers], seconds => 60) if @containers;
    my @networks = split ' ', $self->docker(['network', 'ls', '-q', @label])->{out};
    $self->docker(['network', 'rm', @networks]) if @networks;
    return;
}

sub in_lab { my ($self) = @_; return ('--network', $self->{run}, '--label', "echolab.grade=$self->{run}") }

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar <$file>;
}

# A file that the containers' users may read. Returns its path.
sub put_file {
    my ($self, $name, $text) = @_;
    my $path = "$self->{dir}/" . ++$self->{count} . "-$name";
    open my $file, '>:raw', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
    chmod 0644, $path;
    return $path;
}

# A client on its own: run() of the client image with these arguments, ended after `seconds`.
sub client {
    my ($self, $seconds, @arguments) = @_;
    my $name = "$self->{run}-client" . ++$self->{count};
    my $result = $self->docker(['run', '--rm', '--name', $name, $self->in_lab, @hardened, $self->{client}, @arguments],
        seconds => $seconds + 10);
    $self->docker(['rm', '-f', $name]) if $result->{is_late} || $result->{is_cut};
    return $result;
}

# Starts a client that goes on by itself. Returns its name.
sub start_client {
    my ($self, @arguments) = @_;
    my $name = "$self->{run}-client" . ++$self->{count};
    $self->must('run', '-d', '--name', $name, $self->in_lab, @hardened, $self->{client}, @arguments);
    return $name;
}

# Waits for the end of a container: its exit code, undef if it did not end.
sub exit_of {
    my ($self, $name, $seconds) = @_;
    my $result = $self->docker(['wait', $name], seconds => $seconds);
    return $result->{out} =~ /^(\d+)$/m ? $1 : undef;
}

# A shell's commands on the bench.
sub bench {
    my ($self, $script, $seconds) = @_;
    return $self->docker(['exec', "$self->{run}-bench", 'sh', '-c', $script], seconds => $seconds // 20);
}

# The same, and they go on by themselves.
sub bench_start { my ($self, $script) = @_; return $self->must('exec', '-d', "$self->{run}-bench", 'sh', '-c', $script) }

# Waits until a command on the bench succeeds.
sub bench_until {
    my ($self, $test, $seconds) = @_;
    my $tries = int $seconds * 10;
    return $self->bench("i=0; until $test; do i=\$((i + 1)); [ \$i -lt $tries ] || exit 1; sleep 0.1; done", $seconds + 10)->{code} == 0;
}

# ---- the server --------------------------------------------------------------------------------

# start_server(env => { NAME => value }, files => [[path, target]...]): a new container of the
# image, once it listens: { name, port }. Otherwise { name, why }: it did not, and why.
sub start_server {
    my ($self, %how) = @_;
    my $server = { name => "$self->{run}-server" . ++$self->{count} };
    my %env    = %{ $how{env} // {} };
    my @files  = @{ $how{files} // [] };
    my $result = $self->docker(['create', '--name', $server->{name}, $self->in_lab, '--network-alias', 'server', @fenced,
        (map { ('-e', "$_=$env{$_}") } sort keys %env), (map { ('-v', "$_->[0]:$_->[1]:ro") } @files), $self->{image}], seconds => 120);
    $result = $self->docker(['start', $server->{name}], seconds => 60) if $result->{code} == 0;
    $server->{why} = $result->{code} == 0 ? $self->await_listener($server) : 'the container does not start: ' . last_lines($result->{out}, 1);
    return $server;
}

# undef once it listens, its port in the server; otherwise why not.
sub await_listener {
    my ($self, $server) = @_;
    my $end = time + START_S;
    my @sockets;
    do {
        my $state = $self->state($server);
        return $self->why_ended($server, $state) if !$state->{Running};
        @sockets = $self->listening($server);
        my @open = grep { !$_->{is_loopback} } @sockets;
        if (@open) {
            $server->{port} = $self->choose_port(@open);
            return undef;
        }
        sleep 0.3;
    } while (time < $end);
    my $why = @sockets ? "it listens on 127.0.0.1:$sockets[0]{port} only, where no other container reaches it: bind to 0.0.0.0"
                       : 'it did not listen on any port within ' . START_S . ' s';
    return "$why; " . $self->excess($server) . $self->what_it_said($server);
}

# The exercise's port, one that the image names, or the smallest.
sub choose_port {
    my ($self, @open) = @_;
    my %is_open = map { ($_->{port} => 1) } @open;
    my @named = map { /^(\d+)/ ? $1 : () } keys %{ $self->{exposed} // {} };
    return (grep { $is_open{$_} } 12345, 23456, @named)[0] // (sort { $a <=> $b } keys %is_open)[0];
}

sub why_ended {
    my ($self, $server, $state) = @_;
    my $how = $state->{OOMKilled} ? 'was killed: it took more memory than ' . MEMORY : "ended by itself, exit code $state->{ExitCode}";
    return "it $how; " . $self->what_it_said($server);
}

# Does it do more than a server may? Words, or nothing.
sub excess {
    my ($self, $server) = @_;
    my @much;
    my $used = $self->usage($server);
    push @much, "it has $used->{pids} processes, and no more are allowed: it forks without end" if ($used->{pids} // 0) >= PIDS - 8;
    push @much, 'it printed more than ' . LOG_BYTES / 1024 / 1024 . ' MiB' if $self->logs($server)->{is_cut};
    return join '', map { "$_; " } @much;
}

sub what_it_said {
    my ($self, $server) = @_;
    my $lines = last_lines($self->docker(['logs', '--tail', 3, $server->{name}], seconds => 10, limit => 65536)->{out}, 3);
    return $lines eq '' ? 'it printed nothing' : 'its last lines: ' . $lines =~ s/\n/ | /gr;
}

sub logs { my ($self, $server) = @_; return $self->docker(['logs', $server->{name}], seconds => 20) }

sub log_lines { my ($self, $server) = @_; return split /\r?\n/, $self->logs($server)->{out} }

sub inspect {
    my ($self, $name) = @_;
    my $result = $self->docker(['inspect', $name]);
    return $result->{code} == 0 ? decode_json($result->{out})->[0] : undef;
}

sub state { my ($self, $server) = @_; my $it = $self->inspect($server->{name}); return $it ? $it->{State} : {} }

# TCP sockets in the server's network namespace: { state, port, is_loopback, queue }.
sub sockets {
    my ($self, $server) = @_;
    my $result = $self->docker(['run', '--rm', '--network', "container:$server->{name}", '--label', "echolab.grade=$self->{run}",
        @hardened, '--entrypoint', 'cat', $self->{busybox}, '/proc/net/tcp', '/proc/net/tcp6']);
    return map { socket_of($_) } split /\n/, $result->{out};
}

# Of a line of /proc/net/tcp or tcp6 (proc(5)); the queue of a listener are those not accepted.
sub socket_of {
    my ($line) = @_;
    my ($address, $port, $state, $queue) = $line =~ /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) [0-9A-F]+:([0-9A-F]+)/ or return;
    my $is_loopback = $address =~ /^[0-9A-F]{6}7F$/ || $address =~ /^0{24}01000000$/ || $address =~ /^0{16}FFFF0000[0-9A-F]{6}7F$/;
    return { state => $state, port => hex $port, is_loopback => $is_loopback, queue => hex $queue, is_dns => $address eq '0B00007F' };
}

# Docker's own name server listens on 127.0.0.11.
sub listening { my ($self, $server) = @_; return grep { $_->{state} eq LISTEN && !$_->{is_dns} } $self->sockets($server) }

# Memory in bytes, number of processes and threads: { memory, pids }; empty if it does not run.
sub usage {
    my ($self, $server) = @_;
    my $out = $self->docker(['stats', '--no-stream', '--format', '{{.MemUsage}} {{.PIDs}}', $server->{name}])->{out};
    my ($number, $unit, $limit, $pids) = $out =~ m{^([\d.]+)([KkMG]?i?B) / (\S+) (\d+)} or return {};
    return {} if $limit eq '0B'; # it has ended
    my %bytes = (B => 1, KiB => 2**10, MiB => 2**20, GiB => 2**30, kB => 1e3, KB => 1e3, MB => 1e6, GB => 1e9);
    return { memory => int $number * ($bytes{$unit} // 1), pids => $pids };
}

# SIGTERM, and SIGKILL after the grace period: (exit code, seconds).
sub stop {
    my ($self, $server) = @_;
    my $begin = time;
    my $result = $self->docker(['stop', '-t', GRACE_S, $server->{name}], seconds => GRACE_S + 30);
    if ($result->{code} != 0) {
        $self->docker(['unpause', $server->{name}]);
        $self->docker(['stop', '-t', GRACE_S, $server->{name}], seconds => GRACE_S + 30);
    }
    my $seconds = time - $begin;
    my $state   = $self->state($server);
    return ($state->{Running} ? undef : $state->{ExitCode}, $seconds);
}

sub remove { my ($self, $server) = @_; $self->docker(['rm', '-fv', $server->{name}], seconds => 60); return }

1;
