package FaultRuns;

# Many short runs of a server under strace's injection, on all processors at once.

use strict;
use warnings;
use Exporter 'import';
use File::Temp qw(tempdir);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Echolab;

our @EXPORT = qw(start_on_port in_parallel);

# Start a server that may fail while it starts: it has `port` once it listens, `code` once it
# ended before that. With port 0 the log tells which; a given one is there once it takes
# connections.
sub start_on_port {
    my ($port, $wrap, @arguments) = @_;
    my $server = start_program(["$Echolab::build/echo-server", '--address', '127.0.0.1', '--port', $port, @arguments], wrap => $wrap);
    wait_for(sub {
        $server->{port} = $port ? connect_to($port) && $port : log_of($server) =~ /listening on \S*:(\d+)/ && $1;
        $server->{port} || defined exit_of($server, 0);
    }, 5);
    return $server;
}

# Run $run->(case) for each case, in as many processes as there are processors, and then
# $judge->(case, result) in this one, in order. A result is a text of one line.
sub in_parallel {
    my ($cases, $run, $judge) = @_;
    my $processes = grep {/^processor/} split /\n/, slurp('/proc/cpuinfo');
    $processes = 2 if $processes < 1;
    my (%pipe, @result);
    my $dir = temp_dir();    # removed by this process, not by the others
    for my $p (0 .. $processes - 1) {
        pipe my $read, my $write or die;
        my $pid = fork // die;
        if ($pid == 0) {
            %Echolab::running = ();
            $Echolab::dir = tempdir(DIR => $dir);
            close $read;
            for (my $i = $p; $i < @$cases; $i += $processes) {
                syswrite $write, "$i\t" . $run->($cases->[$i]) . "\n";
            }
            POSIX::_exit(0);
        }
        close $write;
        $pipe{$pid} = $read;
    }
    for my $pid (keys %pipe) {
        while (defined(my $line = readline $pipe{$pid})) {
            chomp $line;
            my ($i, $text) = split /\t/, $line, 2;
            $result[$i] = $text;
        }
        waitpid $pid, 0;
    }
    $judge->($cases->[$_], $result[$_] // 'no result') for 0 .. $#$cases;
}

1;
