package AdminPages;

# The pages of a program's admin address: requests as bytes, answers taken apart, numbers.

use strict;
use warnings;
use Exporter 'import';
use Echolab;

our @EXPORT = qw(admin_port ask get scrape series_of sum_of);

# The port of an admin address that ended in :0.
sub admin_port {
    my ($program) = @_;
    return wait_for_log($program, qr/admin address \S*:(\d+) open/) // die 'no admin address: ' . log_of($program);
}

# Sends the bytes, reads to the end. Returns the whole answer.
sub ask {
    my ($port, $bytes, %how) = @_;
    my $socket = connect_to($port, %how) or return '';
    send_all($socket, $bytes);
    return receive_until_eof($socket, $how{seconds} // 5);
}

# An answer as (status, fields by name, body), or () if it is none.
sub parts_of {
    my ($answer) = @_;
    my ($status, $fields, $body) = $answer =~ m{\AHTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[\w-]+: [^\r\n]*\r\n)+)\r\n(.*)\z}s or return;
    return ($status, { $fields =~ /^([\w-]+): ([^\r\n]*)\r$/gm }, $body);
}

sub get {
    my ($port, $path, %how) = @_;
    my $method = $how{method} // 'GET';
    return parts_of(ask($port, "$method $path HTTP/1.1\r\nHost: test\r\n\r\n", %how));
}

# name{labels} => number, of an exposition.
sub series_of { my ($text) = @_; return { $text =~ /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/gm } }

sub scrape {
    my ($port, %how) = @_;
    my ($status, undef, $body) = get($port, '/metrics', %how);
    return series_of(($status // 0) == 200 ? $body : '');
}

# The sum over all labels of a metric.
sub sum_of {
    my ($series, $name) = @_;
    my $sum = 0;
    $sum += $series->{$_} for grep {/^\Q$name\E(?:\{|$)/} keys %$series;
    return $sum;
}

1;
