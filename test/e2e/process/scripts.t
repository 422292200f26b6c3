#!/usr/bin/perl
# What the scripts leave behind when a signal ends them, or their terminal closes: nothing.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep);
use Echolab;

plan skip_all => 'the scripts run once, with the programs as shipped' if $Echolab::build ne 'build';

my $top = POSIX::getcwd();
my $count = 0;

sub put {
    my ($path, $text, $mode) = @_;
    open my $file, '>', $path or die "$path: $!";
    print $file $text;
    close $file or die;
    chmod $mode // 0644, $path;
    return $path;
}

sub new_folder { my $dir = temp_dir() . '/folder' . ++$count; mkdir $dir or die; return $dir }

# The processes whose temporary files are to be in a folder: those that a script started.
sub processes_of {
    my ($tmp) = @_;
    return grep { $_ != $$ && slurp("/proc/$_/environ") =~ /(?:^|\0)TMPDIR=\Q$tmp\E\0/ } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

sub contents { my ($dir) = @_; opendir my $d, $dir or die; return join ' ', grep { !/^\.\.?$/ } readdir $d }

# Nothing is left of a script that used $tmp; what is, is ended.
sub nothing_left {
    my ($tmp, $name) = @_;
    ok(wait_for(sub { !processes_of($tmp) }, 8), "$name: no process is left") or diag join ' ', map { slurp("/proc/$_/cmdline") =~ tr/\0/ /r } processes_of($tmp);
    kill 'KILL', $_ for processes_of($tmp);
    is(contents($tmp), '', "$name: no temporary file is left");
}

# ---- a terminal ------------------------------------------------------------------------------

# A command as the leader of a session on a terminal of its own (pty(7)): (pid, our end of it).
sub on_terminal {
    my ($tmp, @command) = @_;
    my ($get_number, $unlock, $number) = (0x80045430, 0x40045431, pack "i", 0); # TIOCGPTN, TIOCSPTLCK
    open my $master, '+<', '/dev/ptmx' or return;
    ioctl $master, $unlock, my $no = pack "i", 0 or return;
    ioctl $master, $get_number, $number or return;
    my $terminal = '/dev/pts/' . unpack 'i', $number;
    my $pid = fork // die;
    if ($pid == 0) {
        POSIX::setsid();
        open STDIN, '+<', $terminal or POSIX::_exit(126); # it becomes the controlling one
        open STDOUT, '>&', \*STDIN;
        open STDERR, '>&', \*STDIN;
        close $master;
        @ENV{qw(TMPDIR CLI_LOOP_LAPSE CLI_LOOP_PERIOD)} = ($tmp, '30s', '50ms');
        exec @command or POSIX::_exit(127);
    }
    $Echolab::running{$pid} = { pid => $pid };
    return ({ pid => $pid, out => '/dev/null' }, $master);
}

# What comes on the terminal until the pattern is there: true if it is.
sub read_until {
    my ($master, $pattern, $seconds) = @_;
    my $text = '';
    my $ready = sub { my $bits = ''; vec($bits, fileno $master, 1) = 1; select($bits, undef, undef, 0.1) > 0 };
    wait_for(sub { sysread($master, $text, 4096, length $text) if $ready->(); $text =~ $pattern }, $seconds // 10) or diag $text;
    return $text =~ $pattern;
}

my @shells = grep { system("command -v $_->[0] >/dev/null 2>&1") == 0 } ['dash'], ['bash'], ['busybox', 'sh'];
for my $shell (@shells) {
    for my $signals ([], ['HUP'], ['HUP', 'HUP'], ['TERM', 'HUP'], ['INT', 'INT', 'TERM']) {
        my $name = "demo.sh in $shell->[0]: " . (@$signals ? "@$signals" : 'its terminal closes');
        my $tmp  = new_folder();
        my ($demo, $master) = on_terminal($tmp, @$shell, 'tools/demo.sh', 2);
      SKIP: {
            skip 'no terminal can be made here', 4 if !$demo;
            ok(read_until($master, qr/client2 \| .*N\S+2 sent/), "$name: it talks");
            for my $signal (@$signals) { kill $signal, $demo->{pid}; sleep 0.02 }
            close $master if !@$signals || $signals->[-1] eq 'HUP';
            isnt(exit_of($demo, 8), undef, "$name: it ends");
            nothing_left($tmp, $name);
        }
    }
}

# ---- the others ------------------------------------------------------------------------------

# A folder of programs that stand in for others: each blocks, once it wrote the file `reached`.
# rm is slow, so that a second signal finds it at work.
sub stand_ins {
    my ($tmp, @names) = @_;
    my $bin = new_folder();
    put("$bin/$_", "#!/bin/sh\n: >'$bin/reached'\nexec /bin/sleep 20\n", 0755) for @names;
    put("$bin/rm", "#!/bin/sh\n/bin/sleep 0.3\nexec /bin/rm \"\$@\"\n", 0755);
    return $bin;
}

# A script runs in a process group of its own, as from a terminal, until `reached` is there, and
# gets the signals.
sub interrupt {
    my ($command, $bin, $signals, %env) = @_;
    my $program = start_program($command, env => { PATH => "$bin:$ENV{PATH}", %env }, wrap => ['setsid']);
    my $reached = wait_for(sub { -e "$bin/reached" }, 10);
    diag slurp($program->{err}) . log_of($program) if !$reached;
    for my $signal (@$signals) { kill $signal, -$program->{pid}; sleep 0.1 }
    return ($reached, exit_of($program, 10));
}

# A copy of what the scripts need, in a folder of its own.
sub copy_of_scripts {
    my $dir = new_folder();
    system('cp', '-r', "$top/compose", "$top/tools", "$top/config", $dir) == 0 or die;
    unlink "$dir/compose/lab.yaml";
    return $dir;
}


my %cases = (
    'generate.sh' => sub {
        my ($dir, $tmp) = @_;
        unlink "$dir/compose/base.yaml";
        POSIX::mkfifo("$dir/compose/base.yaml", 0644) or die;
        my $bin = stand_ins($tmp);
        put("$bin/awk", "#!/bin/sh\n: >'$bin/reached'\nexec /usr/bin/awk \"\$@\"\n", 0755);
        return ($bin, ["$dir/compose/generate.sh", 3]);
    },
    'lab.sh up' => sub {
        my ($dir, $tmp) = @_;
        system("$dir/compose/generate.sh 2 >/dev/null") == 0 or die;
        my $bin = stand_ins($tmp);
        put("$bin/docker", "#!/bin/sh\necho 'server 1 Up 2 seconds (healthy)'\n", 0755);
        put("$bin/slow-compose", "#!/bin/sh\ncase \"\$*\" in *--no-deps*) : >'$bin/reached'; exec /bin/sleep 20 ;; esac\n", 0755);
        return ($bin, ["$dir/compose/lab.sh", 'up'], COMPOSE => 'slow-compose');
    },
    'netcat.sh' => sub {
        my ($dir, $tmp) = @_;
        return (stand_ins($tmp, 'nc'), ["$dir/compose/netcat.sh"], HOST => 'localhost', PORT => 1, MESSAGE => 'x', TIMEOUT_S => 20);
    },
    'policy.sh' => sub {
        my ($dir, $tmp) = @_;
        my $bin = stand_ins($tmp);
        put("$bin/docker", "#!/bin/sh\ncase \"\$*\" in *'{{.State'*) echo true healthy ;; *--once*) : >'$bin/reached'; exec /bin/sleep 20 ;; esac\n", 0755);
        return ($bin, ["$dir/compose/policy.sh"]);
    },
    'grade.sh' => sub {
        my ($dir, $tmp) = @_;
        my $bin = stand_ins($tmp);
        put("$bin/docker", "#!/bin/sh\ncase \$1 in build) : >'$bin/reached'; exec /bin/sleep 20 ;; esac\n", 0755);
        return ($bin, ["$dir/compose/grade.sh"], BASE => 'x', INSTALL => 'true', PLATFORM => '', SERVER_IMAGE => '', CLIENT_IMAGE => '');
    },
    'grade.pl' => sub {
        my ($dir, $tmp) = @_;
        my $bin = stand_ins($tmp);
        put("$bin/docker", "#!/bin/sh\ncase \$1 in inspect) echo '[{\"Id\":\"x\",\"Config\":{}}]' ;; run) : >'$bin/reached'; exec /bin/sleep 20 ;; esac\n", 0755);
        return ($bin, ["$dir/tools/grade.pl", 'x']);
    },
    'images.sh' => sub {
        my ($dir, $tmp) = @_;
        my $bin = stand_ins($tmp);
        put("$bin/docker", "#!/bin/sh\ncase \$1 in build) : >'$bin/reached'; exec /bin/sleep 20 ;; esac\n", 0755);
        return ($bin, ["$dir/tools/images.sh", 'server'], BASE => 'x', INSTALL => 'true', PLATFORM => '');
    },
    'pins.sh' => sub {
        my ($dir, $tmp) = @_;
        return (stand_ins($tmp, 'docker'), ["$dir/tools/pins.sh"]);
    },
    'setup.sh' => sub {
        my ($dir, $tmp) = @_;
        my $bin = stand_ins($tmp, 'apt-get');
        put("$bin/id", "#!/bin/sh\necho 0\n", 0755);
        my $needs = "$dir/tools/setup.sh";
        system(qq(sed -i 's/^vm cpio cpio/vm no-such-program-here cpio/' $needs)) == 0 or die;
        return ($bin, [$needs, 'vm']);
    },
    'native-musl-gcc.sh' => sub {
        my ($dir, $tmp) = @_;
        return (stand_ins($tmp, 'gcc'), ["$top/test/native-musl-gcc.sh", '-c', 'x.c']);
    },
);
for my $name (sort keys %cases) {
  SKIP: {
        skip 'no musl here', 3 if $name eq 'native-musl-gcc.sh' && !-e '/usr/lib/x86_64-linux-musl/musl-gcc.specs';
        for my $signals (['HUP'], ['INT'], ['TERM'], ['HUP', 'TERM'], ['INT', 'INT']) {
            subtest "$name: @$signals" => sub {
                my ($tmp, $dir) = (new_folder(), copy_of_scripts());
                my ($bin, $command, %env) = $cases{$name}->($dir, $tmp);
                my $before = join ' ', sort map { contents($_) } "$dir/compose", "$dir/tools";
                my ($reached, $code) = interrupt($command, $bin, $signals, TMPDIR => $tmp, %env);
                ok($reached, 'the signal comes in the middle');
                ok(defined $code && $code != 0, 'it ends with a failure') or diag $code // 'still running';
                nothing_left($tmp, $name);
                is(join(' ', sort map { contents($_) } "$dir/compose", "$dir/tools"), $before, 'and none beside it');
            };
        }
    }
}

# The traps stand before what they are for: a signal may come in between.
for my $script (glob('compose/*.sh tools/*.sh test/*.sh test/e2e/*.sh test/e2e/*/*.sh')) {
    my $text = slurp($script);
    next if $text !~ /\$\(mktemp/;
    like($text, qr/^trap [^\n]+ EXIT\ntrap [^\n]+ HUP INT TERM\n.*\$\(mktemp|^trap clean EXIT\ntrap stop INT TERM\n.*HUP\n.*\$\(mktemp|^    trap clean EXIT\n    trap [^\n]+ HUP INT TERM\n.*\$\(mktemp/ms,
        "$script: traps for the end and for signals before anything temporary");
}
done_testing;
