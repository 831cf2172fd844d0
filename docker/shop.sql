-- The database "shop" with an account at the stand-in. For MyFatoorah itself leave base_url away.
CREATE EXTENSION myfatoorah;
CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah
       OPTIONS (country 'KWT', environment 'test', base_url 'http://127.0.0.1:8099');
CREATE USER MAPPING FOR PUBLIC SERVER myfatoorah
       OPTIONS (api_key_file '/run/myfatoorah/key', webhook_secret_file '/run/myfatoorah/webhook_secret');
ALTER DATABASE shop SET myfatoorah.listen_port = 8088;                          -- where nginx expects it
ALTER DATABASE shop SET myfatoorah.public_url = 'https://127.0.0.1:8443';       -- where nginx is reached
ALTER DATABASE shop SET myfatoorah.route_callbacks = on;                        -- customers come back by way of it
