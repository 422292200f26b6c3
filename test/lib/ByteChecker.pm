package ByteChecker;

# Talks to an echo server over many connections at once, and accounts for every byte: what was
# sent, what came back, how it ended, and what the server's own log says it gave back. Some of
# the pieces end in an urgent byte (MSG_OOB), which belongs in its place like any other.
#
# A verdict for each connection:
#   whole    all that was sent came back, then the end of stream
#   cut      a true beginning came back, as much as the server's log says
#   lost     less came back than the server's log says, or the log does not know
#   wrong    bytes came back that were never sent, or not there
#   refused  no connection, or one that the server never accepted (it was reset in the backlog)
#   hung     no end within the time

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::IP;
use Socket qw(:all);
use Time::HiRes qw(time);

our @EXPORT = qw(check_bytes verdicts_text);

# Bytes that no other connection has.
sub payload {
    my ($number, $length) = @_;
    my $words = $length / 4 + 1;
    return substr pack('N*', map { ($number << 20 | $_) * 2654435761 & 0xffffffff } 1 .. $words), 0, $length;
}

sub open_connection {
    my ($port, $number, $how) = @_;
    my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port, Timeout => 2)
        or return { verdict => 'refused' };
    $socket->blocking(0);
    my $bytes = payload($how->{first} + $number, $how->{bytes});
    return { socket => $socket, local => $socket->sockport, bytes => $bytes, number => $number,
        sent => 0, pieces => 0, urgent => 0, got => '', end => '' };
}

sub close_connection {
    my ($c, $end) = @_;
    $c->{end} = $end;
    close delete $c->{socket};
}

# Two of three connections send pieces that end in an urgent byte: the second one, and then
# every fifth.
sub is_urgent {
    my ($c, $how) = @_;
    return $how->{urgent} && $c->{number} % 3 != 0 && $c->{pieces} % 5 == 1;
}

# Send the next piece; a talker waits for the echo of the one before.
sub send_some {
    my ($c, $how) = @_;
    return if $how->{is_talking} && length $c->{got} < $c->{sent};
    my $left  = length($c->{bytes}) - $c->{sent};
    my $piece = substr $c->{bytes}, $c->{sent}, $left < $how->{piece} ? $left : $how->{piece};
    my $flags = is_urgent($c, $how) ? MSG_OOB : 0;
    my $n     = send $c->{socket}, $piece, $flags;
    if ($n) {
        $c->{sent} += $n;
        $c->{pieces}++;
        $c->{urgent}++ if $flags;
    }
    $c->{is_ended} = 1 if !defined $n && !$!{EAGAIN} && !$!{EINTR};
    if ($c->{sent} == length $c->{bytes} && !$how->{keep_open}) {
        shutdown $c->{socket}, SHUT_WR;
        $c->{is_ended} = 1;
    }
}

sub receive_some {
    my ($c) = @_;
    my $n = sysread $c->{socket}, $c->{got}, 65536, length $c->{got};
    return if !defined $n && ($!{EAGAIN} || $!{EINTR});
    close_connection($c, defined $n ? 'eof' : 'error') if !$n;
}

sub play {
    my ($all, $how) = @_;
    my $until = time + $how->{seconds};
    while (my @open = grep { $_->{socket} } @$all) {
        my ($in, $out) = ('', '');
        for my $c (@open) {
            vec($in, fileno $c->{socket}, 1) = 1;
            my $may_send = !$c->{is_ended} && $c->{sent} < length $c->{bytes}
                && !($how->{is_talking} && length $c->{got} < $c->{sent});
            vec($out, fileno $c->{socket}, 1) = 1 if $may_send;
        }
        my $left = $until - time;
        last if $left <= 0;
        select $in, $out, undef, $left > 0.05 && $how->{during} ? 0.05 : $left;
        $how->{during}->($all) if $how->{during};
        for my $c (@open) {
            my $fd = fileno $c->{socket};
            send_some($c, $how) if vec $out, $fd, 1;
            receive_some($c) if vec $in, $fd, 1;
        }
    }
    close_connection($_, 'hung') for grep { $_->{socket} } @$all;
}

# What the log says was echoed, by the peer's port.
sub echoed_by_port {
    my ($log) = @_;
    my (%number, %echoed);
    $number{$1} = $2 while $log =~ /connection (\d+) from \S*:(\d+) accepted/g;
    while ($log =~ /connection (\d+) (?:closed|cut): [^\n]*?(\d+) bytes? echoed/g) {
        $echoed{ $number{$1} } = $2 if exists $number{$1};
    }
    $echoed{$_} //= 'open' for values %number;
    return \%echoed;
}

sub verdict {
    my ($c, $echoed) = @_;
    return 'hung'  if $c->{end} eq 'hung';
    return 'wrong' if $c->{got} ne substr $c->{bytes}, 0, length $c->{got};
    return 'whole' if length $c->{got} == length $c->{bytes} && $c->{end} eq 'eof';
    my $claimed = $echoed->{ $c->{local} };
    return 'refused' if %$echoed && !defined $claimed && $c->{got} eq '';
    return defined $claimed && $claimed =~ /^\d+$/ && $claimed == length $c->{got} ? 'cut' : 'lost';
}

# check_bytes(port, connections => 10, bytes => 1000, piece => 100, seconds => 5,
#     is_talking => wait for each piece's echo, keep_open => do not half-close,
#     urgent => 0 for none of them urgent,
#     during => sub { what else happens; gets the connections }, log => sub { the server's log })
# The log is asked for after all ended. Returns { verdict => how many } and the connections.
sub check_bytes {
    my ($port, %how) = @_;
    %how = (connections => 10, bytes => 1000, piece => 100, seconds => 5, first => 0, urgent => 1, %how);
    my @all = map { open_connection($port, $_, \%how) } 1 .. $how{connections};
    play(\@all, \%how);
    my $echoed = $how{log} ? echoed_by_port($how{log}->(\@all)) : {};
    my %count;
    for my $c (@all) {
        $c->{verdict} //= verdict($c, $echoed);
        $count{ $c->{verdict} }++;
    }
    return (\%count, \@all);
}

sub verdicts_text {
    my ($count) = @_;
    return join ', ', map {"$count->{$_} $_"} sort keys %$count;
}

1;
