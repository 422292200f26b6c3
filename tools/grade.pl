#!/usr/bin/perl
# Judges the image of an echo server, in a lab network of its own, and writes what a teacher needs:
# a table of points, a remark for each point that is missing, JUnit and JSON (docs/grade.md).
#
#   grade.pl IMAGE [FILE[:/TARGET]]    FILE: the configuration that the image needs; it is mounted
#                                      at TARGET, or where the image may look for it
#
# Environment: CLIENT_IMAGE, BUSYBOX_IMAGE: what stands beside it. PROJECT: begins the names of
# containers and networks. GRADE_DIR: where the files go; default: build/grade.
# Exit: 0 every point; 1 some are missing; 2 wrong usage; 3 it could not be judged.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Cwd qw(abs_path);
use POSIX qw(strftime);
use Grade::Exercises;
use Grade::Lab;
use Grade::Report;

my $top = abs_path("$FindBin::Bin/..");
my $lab;

sub fail { my ($what, $code) = @_; print STDERR "grade: $what\n"; exit $code }

# All that was started goes, whatever the end; a second signal does not stop that.
END {
    my $status = $?;
    $SIG{$_} = 'IGNORE' for qw(HUP INT TERM);
    $lab->close_lab if $lab;
    $? = $status;
}
# (Who dies in an END block ends those of the modules, too.)
sub interrupt {
    return if ${^GLOBAL_PHASE} eq 'END';
    $SIG{$_} = 'IGNORE' for qw(HUP INT TERM);
    die "it was interrupted\n";
}
$SIG{$_} = \&interrupt for qw(HUP INT TERM);

# The file of CONFIG: { name, text, target }, or nothing.
sub read_config {
    my ($config) = @_;
    return undef if ($config // '') eq '';
    my ($path, $target) = $config =~ m{^(.*?)(?::(/.*))?$}s;
    fail("CONFIG='$config': $path cannot be read; allowed: FILE, or FILE:/TARGET/IN/THE/CONTAINER", 2) if !-f $path || !-r $path;
    my $text = Grade::Lab::slurp($path);
    fail("CONFIG='$config': no line of $path sets a port; allowed: a file with a line like SERVER_PORT = 12345", 2)
      if $text !~ /^\s*["']?[\w.]*port["']?\s*[=:]\s*\d+/im;
    return { name => $path =~ s{.*/}{}r, text => $text, target => $target };
}

# What Docker knows of the image; it is pulled if it is not here.
sub look_at_image {
    my ($image) = @_;
    my $known = $lab->inspect($image);
    if (!$known || !$known->{Config}) {
        $lab->docker(['pull', '-q', $image], seconds => 120);
        $known = $lab->inspect($image);
    }
    fail("SERVER_IMAGE='$image' is neither here nor can it be pulled; allowed: the name of an image", 2) if !$known || !$known->{Config};
    $lab->{folder}  = $known->{Config}{WorkingDir} || '/';
    $lab->{exposed} = $known->{Config}{ExposedPorts} // {};
    return $known->{Id};
}

# A line of what is done now, on a terminal only.
sub tell { my ($what) = @_; print STDERR "grade: $what\n"; return }

sub check_usage {
    my (@arguments) = @_;
    fail('usage: grade.pl IMAGE [FILE[:/TARGET]]', 2) if @arguments < 1 || @arguments > 2;
    fail("SERVER_IMAGE='$arguments[0]' is no image's name; allowed: like student/echo:1", 2)
      if $arguments[0] !~ m{^[a-z0-9][A-Za-z0-9._/:@-]*$};
    return @arguments;
}

sub judge {
    my ($image, $config) = @_;
    my $id = look_at_image($image);
    my $exercises = Grade::Exercises->new(lab => $lab, config => $config, tell => \&tell);
    my $started = strftime('%Y-%m-%dT%H:%M:%SZ', gmtime);
    $lab->open_lab;
    $exercises->judge_all;
    return {
        image => $image, image_id => $id, started => $started, why => $exercises->{why}, excess => $exercises->{excess} // '',
        character => $exercises->{character}, examiner => $exercises->{examiner},
        checks => $exercises->{checks}, exercises => \@Grade::Exercises::exercises,
    };
}

my ($image, $config_name) = check_usage(@ARGV);
my $config = read_config($config_name);
$lab = Grade::Lab->new(
    image => $image, top => $top, project => $ENV{PROJECT} || 'echolab',
    client => $ENV{CLIENT_IMAGE} || 'echolab-client:latest', busybox => $ENV{BUSYBOX_IMAGE} || 'busybox:1.38-musl');
my $grade = eval { judge($image, $config) };
fail($@ =~ s/\n//r, 3) if !$grade;
my $exit_code = !defined $grade->{why} && Grade::Report::points($grade) == Grade::Report::possible($grade) ? 0 : 1;
my $folder = $ENV{GRADE_DIR} || "$top/build/grade";
system('mkdir', '-p', $folder) == 0 or fail("$folder cannot be made", 3);
my $path = eval { Grade::Report::write_all($grade, $folder, $exit_code) } // fail($@ =~ s/\n//r, 3);
print Grade::Report::as_text($grade), "\n  files: $path.txt, .json, .xml\n";
exit $exit_code;
