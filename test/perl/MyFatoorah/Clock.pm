# The time of day as programs see it, which a test moves: years pass in minutes. See test/chaos/moved_clock.c.
package MyFatoorah::Clock;

use strict;
use warnings;

use FindBin ();
use POSIX ();
use Time::HiRes ();
use PostgreSQL::Test::Utils;

# new: undef if moved_clock.c cannot be compiled here
sub new
{
	my ($class) = @_;
	my $base = "$PostgreSQL::Test::Utils::tmp_check/moved_clock_$$";    # other tests move theirs
	my $self = bless { library => "$base.so", file => $base, ahead => 0 }, $class;
	my $cc = $ENV{CC} // 'cc';

	# what scripts/check.sh has moved ours by
	$self->{outside} = $ENV{MF_MOVED_CLOCK} ? unpack('q', PostgreSQL::Test::Utils::slurp_file($ENV{MF_MOVED_CLOCK})) : 0;

	return if system("$cc -O1 -shared -fPIC -o $self->{library} $FindBin::RealBin/../test/chaos/moved_clock.c -ldl") != 0;
	$self->_write;
	return $self;
}

sub _write
{
	my ($self) = @_;

	# in place, because programs have mapped it
	open my $file, -e $self->{file} ? '+<' : '>', $self->{file} or die "$self->{file}: $!\n";
	syswrite $file, pack('q', $self->{ahead} + $self->{outside});
	close $file;
	return;
}

# with(sub): programs that it starts see this clock
sub with
{
	my ($self, $code) = @_;

	local @ENV{qw(LD_PRELOAD MF_MOVED_CLOCK)} = ($self->{library}, $self->{file});
	return $code->();
}

# now: in microseconds since 1970, as these programs see it; move_to(that) moves it, never back; move_by(seconds) moves it either way
sub now
{
	my ($self) = @_;
	my ($seconds, $us) = Time::HiRes::gettimeofday();

	return $seconds * 1_000_000 + $us + $self->{ahead};
}

sub move_to
{
	my ($self, $us) = @_;
	my $by = $us - $self->now;

	$self->move_by($by / 1_000_000) if $by > 0;
	return;
}

sub move_by
{
	my ($self, $seconds) = @_;

	$self->{ahead} += int($seconds * 1_000_000);
	$self->_write;
	return;
}

# civil(zone, us): ("2027-10-29", "09:00:00", day of the week, 1 Monday to 7 Sunday) there; instant(zone, day, "09:00"):
# microseconds. Time zones are the C library's.
sub civil
{
	my ($class, $zone, $us) = @_;

	return $class->_in($zone, sub {
		my @time = localtime int($us / 1_000_000);

		return (POSIX::strftime('%Y-%m-%d', @time), POSIX::strftime('%H:%M:%S', @time), $time[6] || 7);
	});
}

sub instant
{
	my ($class, $zone, $day, $time) = @_;
	my ($y, $m, $d) = split /-/, $day;
	my ($hour, $minute) = split /:/, $time;

	return $class->_in($zone, sub { POSIX::mktime(0, $minute, $hour, $d, $m - 1, $y - 1900, 0, 0, -1) * 1_000_000 });
}

sub _in
{
	my ($class, $zone, $code) = @_;

	local $ENV{TZ} = $zone;
	POSIX::tzset();
	my @result = $code->();
	delete $ENV{TZ};
	POSIX::tzset();
	return wantarray ? @result : $result[0];
}

1;
