# The byte matrix of ExecutePayment: what t/044_send_cut_at_each_byte.pl does, by rows of one method.
use MyFatoorah::Test;

our ($call, $method) = ('ExecutePayment', 1);
my $done = do './t/044_send_cut_at_each_byte.pl';

die $@ || $! unless $done;
