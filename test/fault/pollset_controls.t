#!/usr/bin/perl
# Would the poll set's test find a lost wakeup? Each control is src/io/pollset.c with one line
# changed, so that a descriptor that is ready can be forgotten: test/unit/io/pollset_test.c must
# fail with it, and pass without.
use strict;
use warnings;
use Test::More;
use Echolab;

my $dir    = temp_dir();
my $source = slurp('src/io/pollset.c');
my @wrap   = map {"-Wl,--wrap=$_"} qw(poll clock_gettime sigio_open sigio_arm sigio_disarm sigio_take sigio_wait sigio_close);
my @others = (qw(src/io/deadlines.c src/base/table.c src/base/ensure.c), glob('test/unit/model.c test/unit/pollset_world.c'), 'test/unit/io/pollset_test.c');
my @objects;
for my $file (@others) {
    push @objects, "$dir/" . $file =~ tr{/}{_}r . '.o';
    compile($file, $objects[-1]);
}

sub compile {
    my ($file, $object) = @_;
    system(qw(gcc -std=c11 -D_GNU_SOURCE -O2 -DSTEPS=300000 -Isrc -Itest -Itest/unit -c -o), $object, $file) == 0 or die "$file does not compile";
}

# The exit code of the test with this poll set; what hangs ends after a minute.
sub outcome {
    my ($text) = @_;
    open my $file, '>', "$dir/pollset.c" or die;
    print $file $text;
    close $file or die;
    compile("$dir/pollset.c", "$dir/pollset.o");
    system('gcc', @wrap, '-o', "$dir/test", "$dir/pollset.o", @objects) == 0 or die 'it does not link';
    return system("timeout -s KILL 60 $dir/test >/dev/null 2>&1") >> 8;
}

is(outcome($source), 0, 'as it is: the test passes');

for my $control (
    ['cold at once after a callback, whatever that left', 'entry->revents = LOOK_AGAIN;', 'if (is_armed(set, fd)) { enter_cold(set, fd); }'],
    ['one that was served and moved counts as not ready', 'entry->revents = LOOK_AGAIN;', 'entry->revents = 0;'],
    ['a notification between the look and the taking is lost', "} else {\n        set->polled[place_of(set, fd)].revents |= LOOK_AGAIN;", "} else {\n"],
    ['only the first of a batch is handled', 'i < count; i++) {', 'i < count && i < 1; i++) {'],
    ['who waits for room is not looked at', 'POLLIN ? POLLIN : LOOK_AGAIN', 'POLLIN ? POLLIN : 0'],
    ['ready before it is armed', 'look_at_cold(set, set->hot, hot_before);', '(void)hot_before;'],
    ['overflow: the cold ones are forgotten', "look_at_cold(set, set->hot, set->count);\n", "\n"],
    ['overflow: the hot ones that are armed are forgotten', 'set->polled[i].revents |= LOOK_AGAIN;', ';'],
    ['a look at the cold ones that fails counts as one', 'i < end && found != 0; i++', 'i < end && found > 0; i++'],
    ['other events wanted while armed', "disarm(set, fd); /* the events", '; /* the events'],
    ['disarmed, but left with the cold ones', "enter_hot(set, fd, 0);", ';'],
) {
    my ($name, $line, $instead) = @$control;
    my $text = $source;
    my $at   = index $text, $line;
    if ($at == -1 || index($text, $line, $at + 1) != -1) {
        fail("$name: '$line' is not there once");
        next;
    }
    substr $text, $at, length $line, $instead;
    isnt(outcome($text), 0, "$name: the test fails");
}

done_testing;
