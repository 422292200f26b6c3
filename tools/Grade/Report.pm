package Grade::Report;

# A grade as text for people, as JSON, and as JUnit's XML for course systems.
#
# A grade is { image, image_id, started, why, excess, character, examiner, checks, exercises }; `why`
# tells why the image could not be judged at all, and is undefined where it was; `excess`, what it
# does beyond what a server may, or nothing.

use strict;
use warnings;
use JSON::PP;
use List::Util qw(sum0);
use POSIX qw(strftime);

sub points   { my ($grade) = @_; return sum0 map { $_->{points} } @{ $grade->{checks} } }
sub possible { my ($grade) = @_; return sum0 map { $_->{possible} } @{ $grade->{checks} } }

sub of_exercise { my ($grade, $number) = @_; return grep { $_->{exercise} eq $number } @{ $grade->{checks} } }

# ---- text --------------------------------------------------------------------------------------

# A long line in lines of at most 96, those after the first with blanks before them.
sub wrapped {
    my ($text, $indent) = @_;
    my ($line, @lines) = ('');
    for my $word (split ' ', $text) {
        if ($line ne '' && length("$indent$line $word") > 96) { push @lines, "$indent$line"; $line = $word }
        else { $line = $line eq '' ? $word : "$line $word" }
    }
    return join "\n", @lines, "$indent$line";
}

sub as_text {
    my ($grade) = @_;
    my @lines = ("grade: $grade->{image}", '');
    push @lines, '  it serves nobody, so nothing could be judged:', wrapped($grade->{why}, '  '), '' if defined $grade->{why};
    push @lines, '  kind of server: ' . join(', ', @{ $grade->{character} }), '' if @{ $grade->{character} };
    push @lines, wrapped('while it was examined: ' . $grade->{excess} =~ s/; $//r, '  '), '' if ($grade->{excess} // '') ne '';
    for my $exercise (@{ $grade->{exercises} }) {
        my @checks = of_exercise($grade, $exercise->[0]) or next;
        push @lines, sprintf '  %-4s %-74s %2d of %2d', $exercise->[0], $exercise->[1], sum0(map { $_->{points} } @checks), sum0(map { $_->{possible} } @checks);
        push @lines, map { sprintf '         %-4s  %-70s', $_->{result}, $_->{title} } @checks;
    }
    push @lines, sprintf '  %-79s %2d of %2d', 'points', points($grade), possible($grade);
    push @lines, remarks($grade);
    return join("\n", map { s/ +$//r } @lines) . "\n";
}

sub remarks {
    my ($grade) = @_;
    my @failed = grep { $_->{remark} ne '' } @{ $grade->{checks} };
    return () if !@failed || defined $grade->{why};
    return ('', 'Remarks', map { remarks_of($_) } @failed);
}

sub remarks_of {
    my ($check) = @_;
    return ('', "  exercise $check->{exercise}, $check->{title}:", map { wrapped("- $_", '    ') =~ s/\n {4}/\n      /gr } split /\n/, $check->{remark});
}

# ---- JSON --------------------------------------------------------------------------------------

sub as_json {
    my ($grade, $exit_code) = @_;
    my %object = (
        %$grade,
        points    => points($grade),
        possible  => possible($grade),
        exit_code => $exit_code,
        exercises => [map { { exercise => "$_->[0]", title => $_->[1] } } @{ $grade->{exercises} }],
    );
    return JSON::PP->new->utf8->canonical->pretty->encode(\%object);
}

# ---- JUnit -------------------------------------------------------------------------------------

sub xml {
    my ($text) = @_;
    my %name = ('<' => 'lt', '>' => 'gt', '&' => 'amp', '"' => 'quot');
    return $text =~ s/[^\x09\x0a\x0d\x20-\x7e\xa0-\x{d7ff}]/?/gr =~ s/([<>&"])/&$name{$1};/gr =~ s/\n/&#10;/gr;
}

sub as_junit {
    my ($grade) = @_;
    my @failed = grep { $_->{result} eq 'fail' } @{ $grade->{checks} };
    my @lines = ('<?xml version="1.0" encoding="UTF-8"?>',
        sprintf '<testsuites name="%s" tests="%d" failures="%d">', xml("grade of $grade->{image}"), scalar @{ $grade->{checks} }, scalar @failed);
    for my $exercise (@{ $grade->{exercises} }) {
        my @checks = of_exercise($grade, $exercise->[0]) or next;
        push @lines, sprintf '  <testsuite name="%s" tests="%d" failures="%d" timestamp="%s">', xml("$exercise->[0] $exercise->[1]"),
            scalar @checks, scalar(grep { $_->{result} eq 'fail' } @checks), $grade->{started};
        push @lines, (map { junit_case($exercise->[0], $_) } @checks), '  </testsuite>';
    }
    return join("\n", @lines, '</testsuites>') . "\n";
}

sub junit_case {
    my ($exercise, $check) = @_;
    my $case = sprintf '    <testcase classname="exercise %s" name="%s"', $exercise, xml($check->{title});
    return "$case/>" if $check->{result} eq 'pass';
    my $title = sprintf '%d of %d points: %s', $check->{points}, $check->{possible}, $check->{seen};
    return ("$case>", sprintf('      <failure message="%s">%s</failure>', xml($title), xml($check->{remark})), '    </testcase>');
}

# ---- files -------------------------------------------------------------------------------------

# Writes all three, named after the image, into the folder. Returns the path without its ending.
sub write_all {
    my ($grade, $folder, $exit_code) = @_;
    my $path = "$folder/" . ($grade->{image} =~ s/[^A-Za-z0-9_.-]+/_/gr);
    my %text = (txt => as_text($grade), json => as_json($grade, $exit_code), xml => as_junit($grade));
    for my $ending (sort keys %text) {
        open my $file, '>', "$path.$ending" or die "$path.$ending: $!\n";
        print $file $text{$ending};
        close $file or die "$path.$ending: $!\n";
    }
    return $path;
}

1;
