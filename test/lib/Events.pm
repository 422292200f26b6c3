package Events;

# The table of events three times: in src/base/events.h, in docs/events.md, and what a line of JSON
# says of it.

use strict;
use warnings;
use Exporter 'import';
use JSON::PP;
use Echolab;

our @EXPORT = qw(source_events documented_events documented_fields fault_of text_of);

# The strings of C, with the macros of inttypes.h between them, as one.
sub c_string {
    my ($source) = @_;
    my $text = join '', map { /^"(.*)"$/ ? $1 : /^PRIu(?:32|64)$/ ? 'u' : $_ eq 'FORMAT_S' ? "\1" : die "events.h: $_" } $source =~ /"(?:[^"\\]|\\.)*"|\w+/g;
    $text =~ s/\\x([0-9a-f]{2})/chr hex $1/ge;
    return $text;
}

# For people: <field> for a conversion that has a name, (s) for a plural's ending, ... for the rest.
sub text_of {
    my ($event) = @_;
    my @names = @{ $event->{names} };
    return $event->{pattern} =~ s{(\w*)%[-\d.*zjl]*([a-z%])}{
        my ($before, $conversion) = ($1, $2);
        my $name = $conversion eq '%' ? '%' : shift @names // '-';
        $before . ($name eq '%' ? '%' : $name =~ /^\+/ ? '' : $name ne '-' ? '<' . $name =~ s/^#//r . '>' : "\xe2\x80\xa6")
    }ger =~ s/\x01/(s)/gr;
}

# By name: { name, macro, levels => [...], names => [...], fields => { name => is it a string? }, pattern }.
sub source_events {
    my ($source) = @_;
    my %events;
    $source =~ s/\\\n/ /g;
    while ($source =~ /^#define (EVENT_\w+)(\(level\))?\s+EVENT\(\s*(\w+),\s*((?:"[^"]*"\s*)+),\s*(.*)\)$/mg) {
        my ($macro, $is_open, $level, $names, $pattern) = ($1, $2, $3, c_string($4), c_string($5));
        my ($name, @names) = split / /, $names;
        my @conversions = $pattern =~ /%[-\d.*zjl]*([a-z])/g;
        my %fields = map { $names[$_] eq '-' ? () : ($names[$_] =~ s/^[+#]//r => ($conversions[$_] // '') eq 's' && $names[$_] !~ /^#/) } 0 .. $#names;
        $level = lc $level =~ s/^LOG_//r =~ s/ASKED/info/r;
        $events{$name} = { name => $name, macro => $macro, level => $is_open ? undef : $level, names => \@names, fields => \%fields,
            pattern => $pattern, conversions => \@conversions };
    }
    return %events;
}

# By name: { level, fields => [...], text, when }, from the rows | `event` | level | `field` ... | `text` | when |.
sub documented_events {
    my ($page) = @_;
    my %events;
    while ($page =~ /^\| `(\w+)` \| ([a-z, ]+) \| ((?:`\w+`(?:, )?)*|none) \| `([^`]+)` \| (.+) \|$/mg) {
        my ($name, $level, $fields, $text, $when) = ($1, $2, $3, $4, $5);
        $events{$name} = { levels => [split /, /, $level], fields => [$fields =~ /`(\w+)`/g], text => $text, when => $when };
    }
    return %events;
}

# By name: is it a string? From the rows | `field` | string | meaning |.
sub documented_fields {
    my ($page) = @_;
    return map { /^\| `(\w+)` \| (string|number) \| .+ \|$/ ? ($1 => $2 eq 'string') : () } split /\n/, $page;
}

# What of a message is known: a pattern that it must match.
sub message_of {
    my ($text, $line) = @_;
    my $head = defined $line->{worker} ? "worker $line->{worker}: " : defined $line->{client} ? "[CLIENT $line->{client}] " : '';
    my $tail = join '', map { /^<(\w+)>$/ ? quotemeta($line->{$1} // '') : $_ eq '(s)' ? 's?' : $_ eq "\xe2\x80\xa6" ? '.*' : quotemeta }
        split /(<\w+>|\(s\)|\xe2\x80\xa6)/, $text;
    return qr/\A\Q$head\E$tail\z/s;
}

# What is wrong with a line of a log in JSON, by the tables of docs/events.md; '': nothing.
sub fault_of {
    my ($json, $events, $fields) = @_;
    my $line = eval { JSON::PP->new->decode($json) }; # bytes stay bytes
    return "no JSON: $json" if ref $line ne 'HASH';
    my $event = $events->{ $line->{event} // '' } // return "no event of the table: $json";
    my @wrong;
    push @wrong, "time" if ($line->{time} // '') !~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
    push @wrong, "level" if !grep { $_ eq ($line->{level} // '') } @{ $event->{levels} };
    my %has = map { $_ => 1 } grep { !/^(?:time|level|event|message|worker|client)$/ } keys %$line;
    push @wrong, "no $_" for grep { !delete $has{$_} } @{ $event->{fields} };
    push @wrong, "also $_" for sort keys %has;
    for my $name (grep { exists $fields->{$_} } keys %$line) {
        my ($number) = $json =~ /[{,]"\Q$name\E":([-\d.]+)[,}]/;
        push @wrong, "$name is no " . ($fields->{$name} ? 'string' : 'number') if defined $number != !$fields->{$name};
        $line->{$name} = $number if defined $number; # with all its digits
    }
    push @wrong, "the message '$line->{message}' is not as its fields" if $line->{message} !~ /\.\.\.\z/ && $line->{message} !~ message_of($event->{text}, $line);
    return @wrong ? join(', ', @wrong) . ": $json" : '';
}

1;
