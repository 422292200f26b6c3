package DeafPeers;

# Many peers that send as much as is taken and read nothing, in processes of their own, until
# some of them are told to read: then each byte of their echo is compared.

use strict;
use warnings;
use Exporter 'import';
use IO::Handle;
use IO::Poll qw(POLLIN POLLOUT);
use Socket qw(:all);
use POSIX ();
use Time::HiRes qw(time);

our @EXPORT = qw(start_deaf hear stop_deaf);

# What peer $n sends is one block, again and again, from a place of its own on; it stands here
# three times, so that the bytes from any offset on are a part of it.
my $period = 65521;    # prime: no buffer's size divides it
my $thrice = do { my $x = 1; (join '', map { chr(($x = ($x * 1103515245 + 12345) & 0x7fffffff) >> 16 & 0xff) } 1 .. $period) x 3 };
sub place { my ($n, $offset) = @_; return ($n * 7919 + $offset) % $period }

# start_deaf(count => 2000, host =>, port =>, seconds => 60, hearing => 200): that many peers,
# of which `hearing` will read in the end. Returns a handle once all are connected.
sub start_deaf {
    my (%how) = @_;
    my $host    = inet_aton($how{host} // '127.0.0.1');
    my $share   = 250;
    my @crowd;
    for (my $first = 0; $first < $how{count}; $first += $share) {
        my $count   = $how{count} - $first < $share ? $how{count} - $first : $share;
        my $hearing = int($how{hearing} * ($first + $count) / $how{count}) - int($how{hearing} * $first / $how{count});
        pipe my $order, my $tell or die;
        pipe my $answer, my $say or die;
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            close $tell;
            close $answer;
            alarm $how{seconds} + 60;
            setpriority 0, 0, 19;    # they stand for other machines: no CPU of ours
            $say->autoflush(1);
            eval { crowd(pack_sockaddr_in($how{port}, $host), $first, $count, $hearing, $how{seconds}, $order, $say); 1 } or print $say "failed: $@";
            POSIX::_exit(0);
        }
        push @crowd, { pid => $pid, tell => $tell, answer => $answer };
    }
    my $connected = 0;
    for (@crowd) { my $fh = $_->{answer}; my $line = <$fh> // ''; $line =~ /^connected (\d+)$/ ? $connected += $1 : warn "deaf peers: $line" }
    return { crowd => \@crowd, connected => $connected };
}

# Those that hear read now, to the last byte: how many got every byte, and what went wrong.
sub hear {
    my ($deaf) = @_;
    my ($exact, @wrong) = (0);
    for (@{ $deaf->{crowd} }) { close $_->{tell} }
    for (@{ $deaf->{crowd} }) {
        my $fh = $_->{answer};
        while (my $line = <$fh>) {
            if ($line =~ /^exact$/) { $exact++ } else { push @wrong, $line }
        }
    }
    return ($exact, @wrong);
}

sub stop_deaf {
    my ($deaf) = @_;
    for (@{ $deaf->{crowd} }) { close $_->{tell}; kill 'KILL', $_->{pid}; waitpid $_->{pid}, 0 }
    return;
}

sub crowd {
    my ($address, $base, $count, $hearing, $seconds, $order, $say) = @_;
    my @peers;
    for my $n (0 .. $count - 1) {
        socket my $s, PF_INET, SOCK_STREAM, 0 or die "socket: $!";
        setsockopt $s, SOL_SOCKET, SO_SNDBUF, 65536;
        setsockopt $s, SOL_SOCKET, SO_RCVBUF, 65536;
        connect $s, $address or die "connect: $!";
        $s->blocking(0);
        push @peers, { s => $s, n => $base + $n, sent => 0 };
    }
    print $say "connected $count\n";
    my $poll = IO::Poll->new;
    $poll->mask($_->{s}, POLLOUT) for @peers;
    $poll->mask($order, POLLIN);
    my %of  = map { ($_->{s} => $_) } @peers;
    my $end = time + $seconds;
    while (time < $end) {
        $poll->poll(1);
        last if $poll->events($order);
        for my $s ($poll->handles(POLLOUT)) {
            my $peer = $of{$s} or next;
            my $n = syswrite $s, $thrice, $period, place($peer->{n}, $peer->{sent});
            if (defined $n) { $peer->{sent} += $n } elsif (!$!{EAGAIN}) { $poll->remove($s); $peer->{error} = "$!" }
        }
    }
    sysread $order, my $nothing, 1;    # until told, or until who told is gone
    listen_to($_, $say) for @peers[0 .. $hearing - 1];
    return;
}

# One peer ends its direction and reads to the end.
sub listen_to {
    my ($peer, $say) = @_;
    my ($got, $s) = (0, $peer->{s});
    $s->blocking(1);
    shutdown $s, SHUT_WR;
    while (my $n = sysread $s, my $bytes, $period) {
        if ($bytes ne substr $thrice, place($peer->{n}, $got), $n) { print $say "peer $peer->{n}: a byte after $got differs\n"; return }
        $got += $n;
    }
    print $say $got == $peer->{sent} && !$peer->{error} ? "exact\n" : "peer $peer->{n}: $got of $peer->{sent} bytes" . ($peer->{error} ? ", $peer->{error}" : '') . "\n";
    close $s;
    return;
}

1;
