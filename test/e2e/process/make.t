#!/usr/bin/perl
# Settings reach the lab's scripts as they were typed, from make's command line and from the
# environment. The scripts are stand-ins that tell what they got.
use strict;
use warnings;
use Test::More;
use Echolab;

plan skip_all => 'make runs once, with the programs as shipped' if $Echolab::build ne 'build';

my @names = qw(N HOST PORT MESSAGE MESSAGE_FILE TIMEOUT_S FOLLOW BASE INSTALL LOAD FAULT POLICY LAPSE PUBLISH OBSERVE PROMETHEUS_IMAGE CLIENT_IMAGE SERVER_IMAGE CONFIG);
my $dir   = temp_dir();
system("cp Makefile $dir && mkdir $dir/compose $dir/tools") == 0 or die;
for my $script (qw(compose/lab.sh compose/generate.sh tools/images.sh tools/setup.sh tools/demo.sh)) {
    open my $file, '>', "$dir/$script" or die;
    print $file "#!/bin/sh\nprintf '%s\\n' \"called: \${0##*/} \$*\"\n", map { "printf '$_=%s.\\n' \"\${$_-}\"\n" } @names;
    close $file;
    chmod 0755, "$dir/$script";
}

# make's arguments, the environment: what its scripts say.
sub make {
    my ($arguments, %env) = @_;
    my ($code, $out, $err) = run_program(['make', '-C', $dir, '--no-print-directory', @$arguments], env => { MAKEFLAGS => '', %env });
    is("$code $err", '0 ', "make @$arguments: exit 0") or diag $out;
    return $out;
}

delete @ENV{@names};
like(make(['netcat']), qr/^HOST=server\.\nPORT=12345\.\nMESSAGE=hello from netcat\.\nMESSAGE_FILE=\.\nTIMEOUT_S=5\.$/m, 'the defaults');
like(make(['compose']),            qr/^called: generate\.sh 5$/m, '... of N, too');
like(make(['compose', 'N=7']),     qr/^called: generate\.sh 7$/m, 'N on the command line');
like(make(['compose'], N => 3),    qr/^called: generate\.sh 3$/m, 'N in the environment');
like(make(['compose', 'N=7'], N => 3), qr/^called: generate\.sh 7$/m, '... on both: the command line wins');
like(make(['compose', 'N=$5']),    qr/^called: generate\.sh \$5$/m, 'a wrong N arrives as it is');
for my $target ('compose', 'images', 'up') {
    my %script = (compose => 'generate\.sh 5', images => 'images\.sh server client', up => 'lab\.sh up');
    my %set    = (LAPSE => '$0s', PUBLISH => '127.0.0.1:$1', OBSERVE => '$3', SERVER_IMAGE => 'a/$b:1', CLIENT_IMAGE => 'c@sha256:$d');
    my $told   = qr/^called: $script{$target}\n(?:.*\n)*LAPSE=\$0s\.\nPUBLISH=127\.0\.0\.1:\$1\.\nOBSERVE=\$3\.\nPROMETHEUS_IMAGE=\.\nCLIENT_IMAGE=c\@sha256:\$d\.\nSERVER_IMAGE=a\/\$b:1\.$/m;
    like(make([$target, map { "$_=$set{$_}" } sort keys %set]), $told, "$target: LAPSE, PUBLISH and images of the user on the command line");
    like(make([$target], %set), $told, '... in the environment');
}
like(make(['up']), qr/^LAPSE=\.\nPUBLISH=\.\nOBSERVE=\.\nPROMETHEUS_IMAGE=\.\nCLIENT_IMAGE=\.\nSERVER_IMAGE=\.$/m, '... they are nothing by default');
like(make(['clean-images']), qr/^called: images\.sh clean$/m, 'clean-images');
like(make(['logs', 'FOLLOW=1']),   qr/^called: lab\.sh logs\n.*^FOLLOW=1\.$/ms, 'FOLLOW');
like(make(['metrics', 'HOST=client1', 'TIMEOUT_S=9']), qr/^called: lab\.sh metrics\n.*^HOST=client1\.\n.*^TIMEOUT_S=9\.$/ms, 'metrics, HOST and TIMEOUT_S');
like(make(['up', 'PROMETHEUS_IMAGE=p:1']), qr/^PROMETHEUS_IMAGE=p:1\.$/m, 'PROMETHEUS_IMAGE');
like(make(['load', 'LOAD=--connections 5 --size $1']), qr/^called: lab\.sh load\n.*^LOAD=--connections 5 --size \$1\.$/ms, 'LOAD');
like(make(['policy', 'POLICY=m.txt']), qr/^called: images\.sh.*^called: lab\.sh policy\n.*^POLICY=m\.txt\.$/ms, 'POLICY');
like(make(['grade', 'SERVER_IMAGE=a/b:1', 'CONFIG=c.ini:/d']), qr/^called: lab\.sh grade\n.*^SERVER_IMAGE=a\/b:1\.\nCONFIG=c\.ini:\/d\.$/ms, 'SERVER_IMAGE and CONFIG');
unlike(make(['grade', 'SERVER_IMAGE=a/b:1']), qr/^called: images\.sh server/m, '... whose image is not built');
like(make(['up', 'FAULT=leaks']), qr/^called: images\.sh server.*^FAULT=leaks\..*^called: lab\.sh up\n.*^FAULT=leaks\.$/ms, 'FAULT');
for my $message ('cuesta $5', '$$ $(N) ${HOST} `id` "q" \'s\' # \\ *', 'ñandú ✓', 'a  b ', 'ends with \\') {
    for my $name (qw(MESSAGE MESSAGE_FILE)) {
        like(make(['netcat', "$name=$message"]),     qr/^$name=\Q$message\E\.$/m, "$name=$message on the command line arrives as typed");
        like(make(['netcat'], $name => $message),    qr/^$name=\Q$message\E\.$/m, "... in the environment, too");
    }
}
like(make(['netcat'], MESSAGE => '  blanks before, $5'), qr/^MESSAGE=  blanks before, \$5\.$/m, 'blanks at the beginning, in the environment');
like(make(['netcat'], HOST => 'other', PORT => 7, TIMEOUT_S => 9), qr/^HOST=other\.\nPORT=7\.\n.*^TIMEOUT_S=9\.$/ms, 'host, port and time from the environment');
my $install = 'apt-get update && apt-get install -y gcc-$(uname -m)';
for my $out (make(['images', 'BASE=debian:12', "INSTALL=$install"]), make(['images'], BASE => 'debian:12', INSTALL => $install)) {
    like($out, qr/^called: images\.sh server client\n.*^BASE=debian:12\.\nINSTALL=\Q$install\E\.$/ms, 'BASE and INSTALL arrive as typed');
}

# Settings of the tests: what make would run.
for my $case (['fuzz', 'FUZZ_SECONDS', 77], ['soak', 'MINUTES', 77], ['bench', 'RUNS', 77], ['check', 'SANDBOX', 'auto77']) {
    my ($target, $name, $value) = @$case;
    my $out = `$name=$value MAKEFLAGS= make -n $target 2>/dev/null`;
    like($out, qr/\b77\b|auto77/, "$name in the environment counts for make $target");
}
done_testing;
