#!/usr/bin/perl
# The manual pages tell each key, option, variable, range, default and exit code of the programs,
# are clean for mandoc and reproducible; what is wrong in their making is refused. `make install`
# puts exactly its files, and `make uninstall` takes them away.
use strict;
use warnings;
use Test::More;
BEGIN { delete $ENV{ECHOLAB_SANDBOX} }    # the defaults are looked at
use Echolab;

plan skip_all => 'the programs as shipped are described' if $Echolab::build ne 'build';
delete @ENV{qw(SOURCE_DATE_EPOCH MAKEFLAGS MAKELEVEL PREFIX DESTDIR)};

my $dir = temp_dir();
my $pages = 0;

# make_page(program, frame, env => {...}): (exit code, page, stderr).
sub make_page {
    my ($program, $frame, %how) = @_;
    return run_program(['tools/man.sh', $program, $frame], %how, seconds => 10);
}

sub lint {
    my ($page) = @_;
    my ($code, $out, $err) = run_program(['mandoc', '-T', 'lint', '-W', 'warning', write_file("$dir/page" . ++$pages, $page)], seconds => 10);
    return "exit $code\n$out$err";
}

# A page as people see it: no overstrikes, each paragraph on one line, single blanks.
sub rendered {
    my ($page) = @_;
    my (undef, $text) = run_program(['mandoc', '-T', 'ascii', '-O', 'width=900', write_file("$dir/page" . ++$pages, $page)], seconds => 10);
    $text =~ s/.\x08//g;
    $text =~ s/[ \t]+/ /g;
    return $text;
}

# The number that a header of src/ gives to a name.
sub number_of {
    my ($name) = @_;
    for my $header (glob 'src/*/*.h') {
        return $1 if slurp($header) =~ /\b$name\s+=?\s*(\d+)/;
    }
    die "no header gives a number to $name";
}

sub exit_codes {
    my ($program) = @_;
    my @codes = (0, 1, number_of('PROGRAM_USAGE'), number_of('SECCOMP_EXIT'));
    if ($program eq 'client') {
        my ($enum) = map { slurp($_) =~ /enum client_exit \{(.*?)\}/s ? $1 : () } glob 'src/*/*.h';
        push @codes, $enum =~ /= (\d+)/g;
    }
    my %seen = map { $_ => 1 } @codes;
    return sort { $a <=> $b } keys %seen;
}

# What a rendered page lacks of what --help tells, and of the exit codes.
sub faults {
    my ($text, $help, @codes) = @_;
    my @faults;
    my ($settings, $others) = $help =~ /^Settings:\n(.*?)^Other options:\n(.*?)\n\n/ms or die;
    while ($settings =~ /  --(\S+) (\S+) +(\S.*)\n +(allowed: .+); (default: .+)\n +(\[\w+\] \w+, \w+)\n/g) {
        my $wanted = ucfirst("$3. ") . ucfirst("$4. ") . ucfirst "$5.\n $6\n";
        my $value  = $2 eq '[no|yes]' ? '[no | yes]' : lc $2;
        push @faults, "--$1" if $text !~ /^ --\Q$1 $value\E\n \Q$wanted\E/m;
    }
    push @faults, 'no settings' if $settings !~ /^  --/m;
    for (split /\n/, $others) {
        my ($names, $what) = /^  (\S.*?)  +(\S.*)$/ or die "'$_'";
        $names =~ s/ FILE/ file/g;
        push @faults, $names if $text !~ /^ \Q$names\E\n? \Q@{[ucfirst $what]}\E\.\n/m;
    }
    my ($status) = $text =~ /^EXIT STATUS\n(.*?)^[A-Z]/ms;
    my @told = ($status // '') =~ /^ (\d+) [A-Z]/mg;
    push @faults, "exit codes @told" if "@told" ne "@codes";
    return join ', ', @faults;
}

# ---- the pages -------------------------------------------------------------------------------

for my $program ('server', 'client') {
    my ($code, $page, $err) = make_page("build/echo-$program", "docs/man/echo-$program.in");
    is("$code $err", '0 ', "echo-$program has a page: exit 0, nothing on stderr");
    is(lint($page), "exit 0\n", "the page of echo-$program is clean for mandoc");
    my (undef, $help) = run_program(['env', '-i', "build/echo-$program", '--help']);
    my $text  = rendered($page);
    my @codes = exit_codes($program);
    is(faults($text, $help, @codes), '', "the page of echo-$program tells each key, option, variable, range, default and exit code");
    is(scalar(() = $text =~ /Default: /g), scalar(() = $help =~ /; default: /g), "the page of echo-$program tells no key twice");
    my (undef, $version) = run_program(["build/echo-$program", '--version']);
    my ($number) = $version =~ / (\S+)$/;
    like($text, qr/\Qecholab $number\E/, "the page of echo-$program is of version $number");
    like($text, qr{ /etc/echolab/$program\.ini\n}, "the page of echo-$program tells the place of the configuration");

    # The checks must be able to fail.
    isnt(faults($text =~ s/^ --log-level /  --loglevel /mr,          $help, @codes), '', "echo-$program: an option that is missing is seen");
    isnt(faults($text =~ s/Default: info/Default: warn/r,            $help, @codes), '', "echo-$program: another default is seen");
    isnt(faults($text =~ s/(\w+)_LOG_LEVEL/$1_LEVEL/r,               $help, @codes), '', "echo-$program: another variable is seen");
    isnt(faults($text =~ s/Allowed: text, json/Allowed: text/r,      $help, @codes), '', "echo-$program: another range is seen");
    isnt(faults($text =~ s/^ --log-level level$/ --log-level value/mr, $help, @codes), '', "echo-$program: another name of a value is seen");
    isnt(faults($text =~ s/^ --check-config\n//mr,                   $help, @codes), '', "echo-$program: an action that is missing is seen");
    isnt(faults($text,                                               $help, @codes, 99), '', "echo-$program: an exit code that is missing is seen");
    isnt(faults($text, $help =~ s/^Other/  --new VALUE  New\n    allowed: yes, no; default: no\n    [log] new, LOG_NEW\nOther/mr, @codes), '', "echo-$program: a new key is seen");
    isnt(lint($page =~ s/^\.El\n//mr),        "exit 0\n", "echo-$program: a page with a list without end is not clean");
    isnt(lint($page =~ s/^\.Sh NAME\n//mr),   "exit 0\n", "echo-$program: a page without NAME is not clean");

    # Reproducible.
    my %first  = (TZ => 'UTC', LC_ALL => 'C', SOURCE_DATE_EPOCH => 1700000000);
    my %second = (TZ => 'Asia/Tokyo', LC_ALL => 'C.UTF-8', SOURCE_DATE_EPOCH => 1700000000, CLI_ID => 'x', CLI_LOOP_LAPSE => '1s', SERVER_PORT => 1);
    my @made = map { (make_page("build/echo-$program", "docs/man/echo-$program.in", env => $_))[1] } \%first, \%second;
    is($made[0], $made[1], "the page of echo-$program has the same bytes, whatever time zone, language and settings");
    like($made[0], qr/\A\.Dd November 14, 2023\n/, "the page of echo-$program is of the day that SOURCE_DATE_EPOCH tells");
}
like(slurp('README.md'), qr/^\| $_ \| /m, "README tells exit code $_") for exit_codes('client');

# ---- what is wrong ---------------------------------------------------------------------------

# A program of the test's own: what it prints, or a failure.
sub fake {
    my ($config, $other, $code) = @_;
    my $program = write_file("$dir/fake", <<"PROGRAM");
#!/bin/sh
case \$3 in
--version) echo "fake 1.2.3" ;;
--print-config) cat <<'TEXT'
$config
TEXT
;;
--help) cat <<'TEXT'
Settings:
  --key NUMBER  Help

Other options:
$other

TEXT
;;
esac
exit ${\($code // 0)}
PROGRAM
    chmod 0755, $program;
    return $program;
}
my $key   = "; Help.\n; Allowed: 1 to 2. Default: 1.\n; SERVER_KEY, --key\nkey = 1";
my $other = '  --help  print this';
my $frame = write_file("$dir/frame", ".Dd \@DATE\@\n.Dt FAKE 1\n.Os\n.Sh NAME\n.Nm fake\n.Nd fake\n.Sh DESCRIPTION\n\@KEYS\@\n.Ss Other\n\@OPTIONS\@\n");
my ($code, $page, $err) = make_page(fake("[server]\n\n$key", $other), $frame);
is("$code $err", '0 ', 'a program of our own has a page: exit 0, nothing on stderr');
($code, $page, $err) = make_page(fake("[server]\n\n" . $key =~ s/Help/.so \\fB'x' \\/r, $other), $frame);
is("$code $err" . lint($page), "0 exit 0\n", 'macros and escapes in the help: the page is clean');
like(rendered($page), qr/^ \.so \\fB'x' \\\.( |\n)/m, 'macros and escapes in the help are text in the page');

sub refuses {
    my ($what, $pattern, $program, $frame, %how) = @_;
    my ($code, $out, $err) = make_page($program, $frame, %how);
    is($code, $how{code} // 1, "$what: exit " . ($how{code} // 1));
    like($err, qr/\A[^\n]*$pattern[^\n]*\n\z/, "$what: one line says why") or diag $err;
}
my $good = fake("[server]\n\n$key", $other);
refuses('a program that is not there', 'allowed: a program', "$dir/none", $frame);
refuses('a frame that is not there',   'allowed: a frame',   $good, "$dir/none");
refuses('a time that is none', 'SOURCE_DATE_EPOCH=.x. is no time; allowed', $good, $frame, env => { SOURCE_DATE_EPOCH => 'x' });
refuses('a frame without keys', 'KEYS.* missing; allowed', $good, write_file("$dir/bad", "\@OPTIONS\@\n"));
refuses('a frame without options', 'OPTIONS.* missing; allowed', $good, write_file("$dir/bad", "\@KEYS\@\n"));
refuses('a program that fails', 'fails; allowed', fake("[server]\n\n$key", $other, 1), $frame);
refuses('a program without keys', 'has no keys', fake('; nothing', $other), $frame);
refuses('a key without comment', 'not expected; allowed', fake("[server]\n\nkey = 1", $other), $frame);
refuses('a key without default', 'not as expected; allowed', fake("[server]\n\n" . $key =~ s/ Default: 1\.//r, $other), $frame);
refuses('a key without variable', 'not as expected; allowed', fake("[server]\n\n" . $key =~ s/SERVER_KEY, //r, $other), $frame);
refuses('a key that --help does not show', '--other with its value; allowed', fake("[server]\n\n" . $key =~ s/--key/--other/r, $other), $frame);
refuses('an option without help', 'not expected; allowed', fake("[server]\n\n$key", '  --help'), $frame);
refuses('a program without options', 'has no other options', fake("[server]\n\n$key", ''), $frame);
($code, undef, $err) = run_program(['tools/man.sh', 'build/echo-server']);
is($code, 2, 'one argument: usage, exit 2');
like($err, qr/\Ausage: [^\n]+\n\z/, 'one argument: usage is one line');

# ---- make install ----------------------------------------------------------------------------

# install(target, umask, variable => value...): (exit code, what was said).
sub make_install {
    my ($target, $umask, %variables) = @_;
    my @settings = map { "$_=$variables{$_}" } sort keys %variables;
    my ($code, $out, $err) = run_program(['sh', '-c', "umask $umask; exec make -s $target \"\$@\"", 'sh', @settings], seconds => 120);
    return ($code, $out . $err);
}

# "mode path" of everything under a folder.
sub tree {
    my ($folder) = @_;
    my @found = `cd '$folder' && find . -mindepth 1 -printf '%m %P\n'`;
    chomp @found;
    return join "\n", sort { substr($a, index $a, ' ') cmp substr($b, index $b, ' ') } @found;
}

sub expected {
    my ($prefix, $folder_mode) = @_;
    my %mode = (
        'bin/echo-server' => 755, 'bin/echo-client' => 755,
        map { $_ => 644 } 'share/man/man1/echo-server.1', 'share/man/man1/echo-client.1',
        map { "share/doc/echolab/$_" } 'server.ini', 'client.ini', 'LICENSE', 'licenses/musl.txt', 'licenses/inih.txt'
    );
    my %all;
    for my $file (keys %mode) {
        my $path = "$prefix/$file" =~ s{^/}{}r;
        $all{$path} = $mode{$file};
        $all{$path} = $folder_mode while $path =~ s{/[^/]+$}{};
    }
    return join "\n", map { "$all{$_} $_" } sort { " $a" cmp " $b" } keys %all;
}

my %places = ('' => '/usr/local', '/usr' => '/usr', '/opt/a b' => '/opt/a b');
for my $prefix (sort keys %places) {
    my $root = "$dir/root" . ++$pages;
    my %to   = (DESTDIR => $root, $prefix eq '' ? () : (PREFIX => $prefix));
    my ($code, $said) = make_install('install', '022', %to);
    is($code, 0, "make install PREFIX='$prefix': exit 0") or diag $said;
    is(tree($root), expected($places{$prefix}, 755), "make install PREFIX='$prefix': exactly these files with these modes");
    is(slurp("$root$places{$prefix}/bin/echo-server"), slurp('build/echo-server'), "make install PREFIX='$prefix': the program is the one built");
    like(slurp("$root$places{$prefix}/share/man/man1/echo-client.1"), qr/^\.Nm echo-client$/m, "make install PREFIX='$prefix': the page is the client's");
    ($code) = make_install('install', '022', %to);
    is($code . tree($root), '0' . expected($places{$prefix}, 755), "make install PREFIX='$prefix': the same when done again");
    ($code, $said) = make_install('uninstall', '022', %to);
    is($code, 0, "make uninstall PREFIX='$prefix': exit 0");
    unlike(tree($root), qr/echo/, "make uninstall PREFIX='$prefix': no file of ours is left");
}

my $root = "$dir/root.umask";
mkdir $root;
($code) = make_install('install', '077', DESTDIR => $root);
is($code . tree($root), '0' . expected('/usr/local', 700), 'umask 077: new folders are private, files have their modes');
system('mkdir', '-p', "$dir/root.kept/usr/local/bin");
chmod 02775, "$dir/root.kept/usr/local/bin";
($code) = make_install('install', '022', DESTDIR => "$dir/root.kept");
like($code . tree("$dir/root.kept"), qr{\A0.*^2775 usr/local/bin$}ms, 'a folder that is there keeps its mode');
write_file("$dir/root.kept/usr/local/share/doc/echolab/mine.txt", 'x');
($code, my $said) = make_install('uninstall', '022', DESTDIR => "$dir/root.kept");
is($code, 0, "make uninstall with somebody's file in our folder: exit 0");
like($said, qr/has files of others and stays/, "make uninstall with somebody's file in our folder: it says so");
is(slurp("$dir/root.kept/usr/local/share/doc/echolab/mine.txt"), 'x', "make uninstall with somebody's file in our folder: the file is still there");
($code, $said) = make_install('install', '022', DESTDIR => "$dir/root.umask", PREFIX => 'usr');
isnt($code, 0, 'a PREFIX without / at its beginning is refused');
like($said, qr/PREFIX='usr' is wrong; allowed: a path that begins with \//, 'a PREFIX without / at its beginning: it says what is allowed');
write_file("$dir/a file", 'x');
($code) = make_install('install', '022', DESTDIR => "$dir/a file");
isnt($code, 0, 'a DESTDIR that is a file is refused');
done_testing;
