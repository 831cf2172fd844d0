# A real browser without a window: Chromium, driven by its WebDriver.
package MyFatoorah::Browser;

use strict;
use warnings;

use HTTP::Tiny ();
use JSON::PP ();
use POSIX ();
use Time::HiRes ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use MyFatoorah::Web;

my $element = 'element-6066-11e4-a52e-4f735466cecf';

# missing: what of it is not installed, '' if nothing
sub missing
{
	return join ' and ', grep { my $name = $_; !grep { -x "$_/$name" } split /:/, $ENV{PATH} } qw(chromium chromedriver);
}

# new: a browser with an empty profile, ended with the object. It dies, with the driver's words, if none starts.
sub new
{
	my ($class) = @_;
	my $port = MyFatoorah::Web->free_port;
	my $profile = PostgreSQL::Test::Utils::tempdir('browser');
	my $self = bless {
		owner => $$,
		url => "http://127.0.0.1:$port",
		log => "$PostgreSQL::Test::Utils::log_path/" . ($0 =~ s{.*/|\.pl$}{}gr) . '_chromedriver.log',
		http => HTTP::Tiny->new(timeout => 120, proxy => undef, http_proxy => undef),
	}, $class;
	my $deadline = Time::HiRes::time() + 60;
	my $pid = fork // die "could not fork: $!\n";

	if ($pid == 0)
	{
		# its profile and caches are removed with the test
		$ENV{HOME} = $ENV{XDG_CONFIG_HOME} = $ENV{XDG_CACHE_HOME} = $profile;
		# a group of its own, because the driver leaves the browser's processes behind
		POSIX::setpgid(0, 0);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $self->{log} and open STDERR, '>&', \*STDOUT;
		exec 'setpriv', '--pdeathsig=TERM', 'chromedriver', "--port=$port" or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	until ($self->{http}->get("$self->{url}/status")->{success})
	{
		die "chromedriver does not start (see $self->{log})\n" if Time::HiRes::time() > $deadline;
		Time::HiRes::sleep(0.1);
	}
	# its own sandbox needs privileges that a test has not; the pages are ours
	my $session = $self->_command('POST', '/session', { capabilities => { alwaysMatch => {
		browserName => 'chrome',
		'goog:chromeOptions' => { args => [ '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
			'--no-proxy-server', '--no-first-run', '--disable-background-networking', '--window-size=900,1100',
			"--user-data-dir=$profile" ] } } } });
	$self->{session} = "/session/$session->{sessionId}";
	return $self;
}

sub _command
{
	my ($self, $method, $path, $data) = @_;
	my $answer = $self->{http}->request($method, "$self->{url}$path",
		defined $data ? { content => JSON::PP->new->utf8->encode($data), headers => { 'Content-Type' => 'application/json' } } : {});

	die "browser: $method $path: $answer->{status} $answer->{content}\n" unless $answer->{success};
	return JSON::PP->new->utf8->decode($answer->{content})->{value};
}

# go(url): opens a page, and waits until it is loaded
sub go { return $_[0]->_command('POST', "$_[0]->{session}/url", { url => $_[1] }); }

# at: the address of the page shown; title and source of it
sub at { return $_[0]->_command('GET', "$_[0]->{session}/url"); }
sub title { return $_[0]->_command('GET', "$_[0]->{session}/title"); }
sub source { return $_[0]->_command('GET', "$_[0]->{session}/source"); }

# text(css): the text of the first such element, as it is seen; click(css): clicks on it
sub text
{
	my ($self, $css) = @_;

	return $self->_command('GET', "$self->{session}/element/" . $self->_find($css) . '/text');
}

sub click
{
	my ($self, $css) = @_;

	return $self->_command('POST', "$self->{session}/element/" . $self->_find($css) . '/click', {});
}

sub _find
{
	my ($self, $css) = @_;

	return $self->_command('POST', "$self->{session}/element", { using => 'css selector', value => $css })->{$element};
}

# wait_at(pattern): waits until a page of such an address is shown; its address, or undef
sub wait_at
{
	my ($self, $pattern) = @_;
	my $deadline = Time::HiRes::time() + 30;

	while (Time::HiRes::time() < $deadline)
	{
		my $at = $self->at;

		return $at if $at =~ $pattern;
		Time::HiRes::sleep(0.05);
	}
	return undef;
}

# screenshot(file): the page as a picture (PNG)
sub screenshot
{
	my ($self, $file) = @_;
	require MIME::Base64;

	open my $png, '>:raw', $file or die "could not write $file: $!\n";
	print $png MIME::Base64::decode_base64($self->_command('GET', "$self->{session}/screenshot"));
	close $png;
	return;
}

sub DESTROY
{
	my ($self) = @_;

	return if $$ != $self->{owner} || !$self->{pid};
	local ($@, $!, $?);
	eval { $self->_command('DELETE', $self->{session}) } if $self->{session};
	kill 'TERM', -$self->{pid};
	waitpid $self->{pid}, 0;
	kill 'KILL', -$self->{pid};
	return;
}

1;
