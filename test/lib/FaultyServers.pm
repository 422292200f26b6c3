package FaultyServers;

# Echo servers with one fault each, for tests that must see it. They run in processes of their
# own, which are a process group, and end after two minutes at the latest.

use strict;
use warnings;
use Exporter 'import';
use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::IP;
use POSIX ();
use Socket qw(:all);
use Time::HiRes qw(sleep);

our @EXPORT = qw(start_faulty stop_faulty faults);

my %groups;    # pid => 1, of the servers that run

END {
    my $status = $?;
    kill 'KILL', -$_ for keys %groups;
    waitpid $_, 0 for keys %groups;
    $? = $status;
}

sub write_all {
    my ($socket, $bytes) = @_;
    while (length $bytes) {
        my $n = syswrite $socket, $bytes;
        if (!defined $n) {
            next if $! == EINTR;
            return 0;
        }
        substr $bytes, 0, $n, '';
    }
    return 1;
}

# An echo that makes of each read what $change makes of it, undef: the end.
sub echo_by {
    my ($change) = @_;
    return sub {
        my ($s) = @_;
        while (sysread $s, my $bytes, 65536) {
            my $answer = $change->($bytes) // last;
            write_all($s, $answer) or last;
        }
    };
}

# A line at a time.
sub by_lines {
    my ($s) = @_;
    my $buffer = '';
    while (sysread $s, $buffer, 65536, length $buffer) {
        $buffer =~ s/\A(.*\n)//s or next;
        write_all($s, $1) or last;
    }
}

# ---- each connection in a process of its own ---------------------------------------------
# What one connection does; the key is the fault's name.
my %connection = (
    'none'      => echo_by(sub { $_[0] }),
    'line'      => \&by_lines,
    'prefix'    => echo_by(sub { "Your message has been received: $_[0]" }),
    'suffix'    => echo_by(sub { "$_[0]\n" }),
    'upper'     => echo_by(sub { uc $_[0] }),
    'text'      => echo_by(sub { $_[0] =~ tr/\0//dr }),
    'decoder'   => echo_by(sub { my $bytes = $_[0]; utf8::decode($bytes) ? $_[0] : undef }),
    'one line'  => echo_by(sub { $_[0] =~ s/\n\K.+//sr }),
    'newline'   => echo_by(sub { $_[0] =~ s/(?<!\n)\z/\n/r }),
    'one read'  => sub { my ($s) = @_; my $bytes; sysread($s, $bytes, 65536) and write_all($s, $bytes) },
    'short'     => sub {     # one read may bring more than it has room for
        my ($s) = @_;
        for (sleep 0.05; sysread $s, my $bytes, 65536; sleep 0.05) {
            write_all($s, substr $bytes, 0, 4096) or last;
        }
    },
    'greets'    => sub { my ($s) = @_; write_all($s, "hello\n"); echo_by(sub { $_[0] })->($s) },
    'late'      => sub {    # answers when the peer has said all
        my ($s) = @_;
        my $all = '';
        1 while sysread $s, $all, 65536, length $all;
        write_all($s, $all);
    },
    'pairs' => sub {    # waits until it has two bytes
        my ($s) = @_;
        my $buffer = '';
        while (sysread $s, $buffer, 65536, length $buffer) {
            write_all($s, substr $buffer, 0, length($buffer) & ~1, '') or last;
        }
    },
    'flip' => do {      # a bit of one byte, after half a mebibyte
        sub {
            my ($s) = @_;
            my $seen = 0;
            while (sysread $s, my $bytes, 65536) {
                my $at = (1 << 19) - $seen;
                substr($bytes, $at, 1) ^= "\x01" if $at >= 0 && $at < length $bytes;
                $seen += length $bytes;
                write_all($s, $bytes) or last;
            }
        };
    },
    'drops tail' => sub {    # what one write did not take
        my ($s) = @_;
        $s->blocking(0);
        my $select = IO::Select->new($s);
        while ($select->can_read) {
            my $n = sysread $s, my $bytes, 65536;
            last if defined $n && $n == 0;
            syswrite $s, $bytes if $n;
        }
    },
    'no rest' => sub {       # the end of stream comes before what waits to be sent
        my ($s) = @_;
        my $pending = '';
        $s->blocking(0);
        for (;;) {
            my ($read, $write) = ('', '');
            vec($read,  fileno $s, 1) = 1 if length $pending < 4 << 20;
            vec($write, fileno $s, 1) = 1 if length $pending;
            select $read, $write, undef, undef;
            if (vec $read, fileno $s, 1) {
                my $n = sysread $s, $pending, 65536, length $pending;
                last if defined $n && $n == 0;
            }
            next if !length $pending;
            sleep 0.01;
            my $n = syswrite $s, $pending, 4096;
            substr $pending, 0, $n, '' if $n;
        }
    },
    'no end' => sub { my ($s) = @_; echo_by(sub { $_[0] })->($s); sleep 60 },
    'hoards' => sub {        # reads all that comes, and keeps what it cannot send
        my ($s) = @_;
        my ($sent, $pending) = (0, '');
        $s->blocking(0);
        for (my $is_over = 0; !$is_over || $sent < length $pending;) {
            my ($read, $write) = ('', '');
            vec($read,  fileno $s, 1) = 1 if !$is_over;
            vec($write, fileno $s, 1) = 1 if $sent < length $pending;
            select $read, $write, undef, undef;
            if (vec $read, fileno $s, 1) {
                my $n = sysread $s, $pending, 1 << 20, length $pending;
                return if !defined $n && $! != EAGAIN;
                $is_over = 1 if defined $n && $n == 0;
            }
            my $n = $sent < length $pending ? syswrite $s, $pending, 1 << 20, $sent : 0;
            return if !defined $n && $! != EAGAIN;
            $sent += $n // 0;
            ($sent, $pending) = (0, '') if $sent == length $pending;
        }
    },
    'impatient' => sub {     # half a second of silence ends it
        my ($s) = @_;
        my $select = IO::Select->new($s);
        while ($select->can_read(0.5)) {
            sysread $s, my $bytes, 65536 or last;
            write_all($s, $bytes) or last;
        }
    },
    'floods' => sub { my ($s) = @_; sysread $s, my $bytes, 65536; 1 while write_all($s, 'x' x 65536) },
    'silent' => sub { my ($s) = @_; 1 while sysread $s, my $bytes, 65536 },
    'deaf'   => sub { sleep 60 },
    'resets' => sub { my ($s) = @_; setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 },
    'closes' => sub { },
);

# ---- all connections in one process --------------------------------------------------------
# What the whole server does.
sub one_after_another {
    my ($listener, $serve) = @_;
    while (my $s = $listener->accept) { $serve->($s); close $s }
}

# One loop for all. Its writes block.
sub one_loop {
    my ($listener) = @_;
    my $select = IO::Select->new($listener);
    for (;;) {
        for my $s ($select->can_read) {
            if ($s == $listener) { $select->add($listener->accept // next); next }
            my $n = sysread $s, my $bytes, 65536;
            next if $n && write_all($s, $bytes);
            $select->remove($s);
            close $s;
        }
    }
}

# The same with a fault in what becomes of a connection: $lose->($socket, $error).
sub one_loop_that {
    my ($listener, $lose) = @_;
    my $select = IO::Select->new($listener);
    for (;;) {
        for my $s ($select->can_read) {
            if ($s == $listener) {
                my $new = $listener->accept or return;    # no descriptor is left
                $select->add($new);
                next;
            }
            my $n = sysread $s, my $bytes, 65536;
            my $error = defined $n ? 0 : $! + 0;
            next if $n && write_all($s, $bytes);
            $select->remove($s);
            $lose->($s, $error || $n);
        }
    }
}

my %server = (
    'serial'   => sub { one_after_another($_[0], $connection{none}) },
    'exercise' => sub {
        one_after_another($_[0], sub {
            my ($s) = @_;
            sysread $s, my $bytes, 1024 or return;
            $bytes =~ s/\s+\z//;
            write_all($s, "Your message has been received: $bytes\n");
        });
    },
    'one loop' => \&one_loop,
    'leaks'    => sub {
        my @kept;
        one_loop_that($_[0], sub { push @kept, $_[0] });
    },
    'dies' => sub { one_loop_that($_[0], sub { POSIX::_exit(1) if $_[1] }) },
    'new listener' => sub {    # what waits in the queue is reset, as with `nc -l` in a loop
        my ($listener) = @_;
        my $port = $listener->sockport;
        while (my $s = $listener->accept) {
            close $listener;
            $connection{none}->($s);
            close $s;
            $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $port, Listen => 16, ReuseAddr => 1) or return;
        }
    },
    'never accepts' => sub { sleep 60 },
);

sub serve_in_processes {
    my ($listener, $serve) = @_;
    local $SIG{CHLD} = 'IGNORE';
    for (;;) {
        my $s = $listener->accept or next;
        my $pid = fork;
        if (defined $pid && $pid == 0) {
            $SIG{PIPE} = 'IGNORE';
            alarm 120;
            close $listener;
            $serve->($s);
            close $s;
            POSIX::_exit(0);
        }
        close $s;
    }
}

sub faults { return sort(keys %connection, keys %server) }

# start_faulty(fault, descriptors => 64): {port, pid}.
sub start_faulty {
    my ($fault, %how) = @_;
    my $listener = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 128, ReuseAddr => 1) or die;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        POSIX::setpgid(0, 0);
        $SIG{PIPE} = 'IGNORE';
        alarm 120;
        if (my $serve = $connection{$fault}) { serve_in_processes($listener, $serve) }
        else { ($server{$fault} // die "no fault '$fault'")->($listener) }
        POSIX::_exit(0);
    }
    POSIX::setpgid($pid, $pid);
    system 'prlimit', "--pid=$pid", "--nofile=$how{descriptors}" if $how{descriptors};
    $groups{$pid} = 1;
    return { port => $listener->sockport, pid => $pid };
}

sub stop_faulty {
    my ($server) = @_;
    kill 'KILL', -$server->{pid};
    waitpid $server->{pid}, 0;
    delete $groups{ $server->{pid} };
    return;
}

1;
