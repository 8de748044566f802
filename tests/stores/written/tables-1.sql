CREATE TABLE supertokens_sessions (
	handle VARCHAR(128) NOT NULL, 
	user_id VARCHAR(255) NOT NULL, 
	recipe_user_id VARCHAR(255) NOT NULL, 
	tenant_id VARCHAR(64) NOT NULL, 
	current_hash2 VARCHAR(64) NOT NULL, 
	children SMALLINT NOT NULL, 
	used_at BIGINT, 
	expires_at BIGINT NOT NULL, 
	created_at BIGINT NOT NULL, 
	refreshed_at BIGINT NOT NULL, 
	anti_csrf_token VARCHAR(64), 
	payload TEXT NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (handle)
);
INSERT INTO "supertokens_sessions" VALUES('8ce334987959a73f6d8fb593080e0229','user-1','user-1','public','ade7ff4815f7d0936dd5aacefde23046371f026b105e99b9e750367d32eb7892',0,NULL,1804056739632,1795416739632,1795416739632,NULL,'{"role":"admin","auth_time":1795416739}','{"cart":[1,2]}');
CREATE TABLE supertokens_signing_keys (
	kid VARCHAR(80) NOT NULL, 
	algorithm VARCHAR(16) NOT NULL, 
	created_at BIGINT NOT NULL, 
	public_pem TEXT NOT NULL, 
	sealed_private TEXT NOT NULL, 
	PRIMARY KEY (kid)
);
INSERT INTO "supertokens_signing_keys" VALUES('d-1795416739632','ES256',1795416739632,'-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEwAMgTUhvL319uZdtd+bcEQjCC/fG
a0ftQnyVx93I04b7JOt0K6tRhbX+8o2Eidov7nnnaI8+VtKw1QbYhI3Fjg==
-----END PUBLIC KEY-----
','gAAAAABrA-KjAZe-kSEsEErbuf-bWNY_JDichKYmn7kKaQEe0iG1LCKI-aVZXvVuJIukOIx3VoRfb68QWPK0CR0hCsdWVFKMP702vdtQ9WSc2WdUvueCcwPPZAzCtHXXoeaOppm9Z2h7CNOdoQG_pvPD5qXmbK69rLxdpzZ8PgxPNX_hH_saKlZV-GRlIppIAeBCE2adPyjfYprUXzZR2H6lqtS-_fV3Y-x7k8BGGDXiPoB4mkTTg-q12G5uP2Cvbhn0NLXYcYwK6YRl1rpl3D3VIfDcjtlOEIBo83E_G5HYsZk7DZlYFlfUcSkcGOOoCo5wOLqLZccro9l5Q8Nku5QVCHYM2hdUfBtWcIyofvfhxp2BtqkSMFauc3j3LUBCRXxfrRdHGV7ks1YgUnI-3y7FLSri_4ZbeQ==');
CREATE INDEX ix_supertokens_sessions_expiry ON supertokens_sessions (expires_at);
CREATE INDEX ix_supertokens_sessions_user ON supertokens_sessions (user_id, tenant_id);
