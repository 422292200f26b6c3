#!/usr/bin/perl
# The byte checker that the fault tests trust: it must see each kind of loss, and none where
# there is none.
use strict;
use warnings;
use Socket qw(:all);
use Test::More;
use Echolab;
use ByteChecker;

sub checked {
    my ($server, %how) = @_;
    my ($count) = check_bytes($server->{port}, %how, log => sub { stop_program($server) if $server->{pid}; log_of($server) });
    return verdicts_text($count);
}

is(checked(start_server()), '10 whole', 'the right server, 10 connections: all is whole');
is(checked(start_server(), bytes => 3_000_000, piece => 300_000, connections => 4), '4 whole', 'the right server, large transfers: all is whole');
is(checked(start_server(), is_talking => 1), '10 whole', 'the right server, a dialogue: all is whole');
is(checked(start_server(), urgent => 0), '10 whole', 'the right server, no urgent bytes: all is whole');

SKIP: {
    skip 'no strace here', 2 if !has_command('strace');
    my $server = start_server(_wrap => [qw(strace -D -qq -o /dev/null -e trace=sendto -e inject=sendto:retval=1:when=1)]);
    my $text = checked($server, seconds => 1);
    like($text, qr/1 wrong|1 lost|1 hung/, 'a send that only seemed to work is seen');
    like($text, qr/\b9 whole/, 'a send that only seemed to work: the nine other connections are whole');
}
# close() while bytes are unread: the kernel resets, and what was under way is gone (TCP, RFC 1122 4.2.2.13).
is(checked(odd_server(sub { my ($s) = @_; sysread $s, my $b, 10; syswrite $s, $b }), connections => 1, bytes => 100_000),
    '1 lost', 'close() without shutdown() is seen');
is(checked(odd_server(sub { my ($s) = @_; setsockopt $s, SOL_SOCKET, SO_OOBINLINE, 1; syswrite $s, $_ while sysread $s, $_, 65536 }), connections => 1),
    '1 whole', 'an echo by another server is whole');
is(checked(odd_server(sub { my ($s) = @_; while (sysread $s, my $b, 65536) { substr($b, 5, 1) ^= "\1"; syswrite $s, $b } }), connections => 1),
    '1 wrong', 'a flipped bit is seen');
# A server that leaves urgent bytes out of the stream, which is what sockets do unless told
# otherwise (tcp(7), SO_OOBINLINE).
my $forgetful = sub { my ($s) = @_; syswrite $s, $_ while sysread $s, $_, 65536 };
is(checked(odd_server($forgetful), connections => 1, seconds => 2), '1 wrong', 'an urgent byte that is missing is seen');
is(checked(odd_server($forgetful), connections => 1, urgent => 0), '1 whole', 'the same without urgent bytes: whole');
is(checked(odd_server($forgetful), connections => 1, is_talking => 1, seconds => 1), '1 hung', 'an urgent byte that is missing in a dialogue is seen');
is(checked(odd_server(sub { my ($s) = @_; sysread $s, my $b, 500; syswrite $s, $b; shutdown $s, 1; 1 while sysread $s, $b, 65536 }), connections => 1),
    '1 lost', 'a tail that is missing is seen');
is(checked(odd_server(sub { my ($s) = @_; sleep 3 }), connections => 1, seconds => 1), '1 hung', 'silence is seen');
is(checked({ port => 1, out => '/dev/null' }, connections => 1), '1 refused', 'nobody there is seen');

done_testing;
