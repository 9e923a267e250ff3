package mslerr

// The internal error numbers of MSL (spec 08 section 3). Numbers not listed are
// unassigned; applications define their own far above 10000.
const (
	// Encoding and cryptography.
	ParseError                     Code = 0
	EncodeError                    Code = 1
	EnvelopeHashMismatch           Code = 2
	InvalidPublicKey               Code = 3
	InvalidPrivateKey              Code = 4
	PlaintextIllegalBlockSize      Code = 5
	PlaintextBadPadding            Code = 6
	CiphertextIllegalBlockSize     Code = 7
	CiphertextBadPadding           Code = 8
	EncryptNotSupported            Code = 9
	DecryptNotSupported            Code = 10
	EnvelopeKeyIDMismatch          Code = 11
	CiphertextEnvelopeParseError   Code = 12
	CiphertextEnvelopeEncodeError  Code = 13
	SignNotSupported               Code = 14
	VerifyNotSupported             Code = 15
	SignatureError                 Code = 16
	HMACError                      Code = 17
	EncryptError                   Code = 18
	DecryptError                   Code = 19
	InsufficientCiphertext         Code = 20
	SessionKeyCreationFailure      Code = 21
	InvalidSymmetricKey            Code = 24
	InvalidEncryptionKey           Code = 25
	InvalidHMACKey                 Code = 26
	WrapNotSupported               Code = 27
	UnwrapNotSupported             Code = 28
	UnidentifiedJWKType            Code = 29
	UnidentifiedJWKUsage           Code = 30
	UnidentifiedJWKAlgorithm       Code = 31
	WrapError                      Code = 32
	UnwrapError                    Code = 33
	InvalidJWK                     Code = 34
	InvalidJWKKeyData              Code = 35
	UnsupportedJWKAlgorithm        Code = 36
	WrapKeyCreationFailure         Code = 37
	InvalidWrapCiphertext          Code = 38
	UnsupportedJWEAlgorithm        Code = 39
	JWEEncodeError                 Code = 40
	JWEParseError                  Code = 41
	InvalidAlgorithmParams         Code = 42
	JWEAlgorithmMismatch           Code = 43
	KeyImportError                 Code = 44
	KeyExportError                 Code = 45
	DigestError                    Code = 46
	UnsupportedKey                 Code = 47
	UnsupportedJWESerialization    Code = 48
	InvalidWrappingKey             Code = 51
	UnidentifiedCiphertextEnvelope Code = 52
	UnidentifiedSignatureEnvelope  Code = 53
	UnsupportedCiphertextEnvelope  Code = 54
	UnsupportedSignatureEnvelope   Code = 55
	UnidentifiedCipherSpec         Code = 56
	UnidentifiedAlgorithm          Code = 57
	SignatureEnvelopeParseError    Code = 58
	SignatureEnvelopeEncodeError   Code = 59
	InvalidSignature               Code = 60
	DeriveKeyError                 Code = 61
	UnidentifiedJWKKeyOp           Code = 62
	GenerateKeyError               Code = 63
	InvalidIV                      Code = 64
	InvalidCiphertext              Code = 65

	// Master token.
	MasterTokenUntrusted                Code = 1000
	MasterTokenKeyCreationError         Code = 1001
	MasterTokenExpiresBeforeRenewal     Code = 1002
	MasterTokenSessionDataMissing       Code = 1003
	MasterTokenSequenceNumberOutOfRange Code = 1004
	MasterTokenSerialNumberOutOfRange   Code = 1005
	MasterTokenTokenDataInvalid         Code = 1006
	MasterTokenSignatureInvalid         Code = 1007
	MasterTokenSessionDataInvalid       Code = 1008
	MasterTokenSequenceNumberOutOfSync  Code = 1009
	MasterTokenTokenDataMissing         Code = 1010
	MasterTokenTokenDataParseError      Code = 1011
	MasterTokenSessionDataParseError    Code = 1012
	MasterTokenIdentityRevoked          Code = 1013
	MasterTokenRejectedByApp            Code = 1014
	MasterTokenIssuerDataEncodeError    Code = 1015

	// User ID token.
	UserIDTokenMasterTokenMismatch               Code = 2000
	UserIDTokenNotDecrypted                      Code = 2001
	UserIDTokenMasterTokenNull                   Code = 2002
	UserIDTokenExpiresBeforeRenewal              Code = 2003
	UserIDTokenUserDataMissing                   Code = 2004
	UserIDTokenMasterTokenNotFound               Code = 2005
	UserIDTokenMasterTokenSerialNumberOutOfRange Code = 2006
	UserIDTokenSerialNumberOutOfRange            Code = 2007
	UserIDTokenTokenDataInvalid                  Code = 2008
	UserIDTokenSignatureInvalid                  Code = 2009
	UserIDTokenUserDataInvalid                   Code = 2010
	UserIDTokenIdentityInvalid                   Code = 2011
	Reserved2012                                 Code = 2012
	UserIDTokenIdentityNotFound                  Code = 2013
	UserIDTokenPasswordVersionChanged            Code = 2014
	UserIDTokenUserAuthDataMismatch              Code = 2015
	UserIDTokenTokenDataMissing                  Code = 2016
	UserIDTokenTokenDataParseError               Code = 2017
	UserIDTokenUserDataParseError                Code = 2018
	UserIDTokenRevoked                           Code = 2019
	UserIDTokenRejectedByApp                     Code = 2020

	// Service token.
	ServiceTokenMasterTokenMismatch               Code = 3000
	ServiceTokenUserIDTokenMismatch               Code = 3001
	ServiceTokenServiceDataInvalid                Code = 3002
	ServiceTokenMasterTokenNotFound               Code = 3003
	ServiceTokenUserIDTokenNotFound               Code = 3004
	ServiceTokenMasterTokenSerialNumberOutOfRange Code = 3005
	ServiceTokenUserIDTokenSerialNumberOutOfRange Code = 3006
	ServiceTokenTokenDataInvalid                  Code = 3007
	ServiceTokenSignatureInvalid                  Code = 3008
	ServiceTokenTokenDataMissing                  Code = 3009

	// Entity authentication.
	UnidentifiedEntityAuthScheme      Code = 4000
	EntityAuthFactoryNotFound         Code = 4001
	X509CertParseError                Code = 4002
	X509CertEncodeError               Code = 4003
	X509CertVerificationFailed        Code = 4004
	EntityNotFound                    Code = 4005
	IncorrectEntityAuthData           Code = 4006
	RSAPublicKeyNotFound              Code = 4007
	UnsupportedEntityAuthData         Code = 4023
	EntityRevoked                     Code = 4025
	EntityRejectedByApp               Code = 4026
	X509CertExpired                   Code = 4028
	X509CertNotYetValid               Code = 4029
	X509CertInvalid                   Code = 4030
	RSAPrivateKeyNotFound             Code = 4031
	EntityAuthMasterTokenNotDecrypted Code = 4032
	EntityAuthSignatureInvalid        Code = 4033
	EntityAuthCiphertextInvalid       Code = 4034
	EntityAuthVerificationFailed      Code = 4035
	EntityAuthMasterTokenInvalid      Code = 4036
	ECCPublicKeyNotFound              Code = 4037
	ECCPrivateKeyNotFound             Code = 4038

	// User authentication.
	UnidentifiedUserAuthScheme                 Code = 5003
	UserAuthFactoryNotFound                    Code = 5004
	EmailPasswordBlank                         Code = 5005
	EmailPasswordIncorrect                     Code = 5007
	UnsupportedUserAuthData                    Code = 5008
	UserAuthUserIDTokenInvalid                 Code = 5011
	UnidentifiedUserAuthMechanism              Code = 5013
	UnsupportedUserAuthMechanism               Code = 5014
	UserAuthMasterTokenMissing                 Code = 5016
	UserAuthUserIDTokenNotDecrypted            Code = 5021
	UserAuthMasterTokenInvalid                 Code = 5024
	UserAuthMasterTokenNotDecrypted            Code = 5025
	UserAuthUserIDTokenMissing                 Code = 5030
	UserAuthEntityMismatch                     Code = 5032
	UserAuthEntityIncorrectData                Code = 5033
	UserRejectedByApp                          Code = 5037
	UserIDTokenIdentityNotAssociatedWithEntity Code = 5040
	UserAuthEntityUserIncorrectData            Code = 5041
	UserAuthVerificationFailed                 Code = 5042
	UserAuthUserIDTokenRevokeCheckError        Code = 5043

	// Message.
	UnsupportedCompression                    Code = 6000
	CompressionError                          Code = 6001
	UncompressionError                        Code = 6002
	MessageEntityNotFound                     Code = 6003
	PayloadMessageIDMismatch                  Code = 6004
	PayloadSequenceNumberMismatch             Code = 6005
	PayloadVerificationFailed                 Code = 6006
	MessageDataMissing                        Code = 6007
	MessageFormatError                        Code = 6008
	MessageVerificationFailed                 Code = 6009
	HeaderDataMissing                         Code = 6010
	PayloadDataMissing                        Code = 6011
	PayloadDataCorrupt                        Code = 6012
	UnidentifiedCompression                   Code = 6013
	MessageExpired                            Code = 6014
	MessageIDOutOfRange                       Code = 6015
	InternalCodeNegative                      Code = 6016
	UnexpectedResponseMessageID               Code = 6017
	ResponseRequiresEncryption                Code = 6018
	PayloadSequenceNumberOutOfRange           Code = 6019
	PayloadMessageIDOutOfRange                Code = 6020
	MessageReplayed                           Code = 6021
	IncompleteNonReplayableMessage            Code = 6022
	HeaderSignatureInvalid                    Code = 6023
	HeaderDataInvalid                         Code = 6024
	PayloadInvalid                            Code = 6025
	PayloadSignatureInvalid                   Code = 6026
	ResponseRequiresMasterToken               Code = 6027
	ResponseRequiresUserIDToken               Code = 6028
	RequestRequiresUserAuthData               Code = 6029
	UnexpectedMessageSender                   Code = 6030
	NonReplayableMessageRequiresMasterToken   Code = 6031
	NonReplayableIDOutOfRange                 Code = 6032
	MessageServiceTokenMismatch               Code = 6033
	MessagePeerServiceTokenMismatch           Code = 6034
	ResponseRequiresIntegrityProtection       Code = 6035
	HandshakeDataMissing                      Code = 6036
	MessageRecipientMismatch                  Code = 6037
	MessageEntityDataBasedVerificationFailed  Code = 6038
	MessageMasterTokenBasedVerificationFailed Code = 6039
	MessageReplayedUnrecoverable              Code = 6040
	UnexpectedLocalMessageSender              Code = 6041
	UnencryptedMessageWithUserAuthData        Code = 6042
	MessageSenderMismatch                     Code = 6043
	MessageExpiredNotRenewable                Code = 6044
	MessageExpiredNoKeyRequestData            Code = 6045

	// Key exchange.
	UnidentifiedKeyxScheme      Code = 7000
	KeyxFactoryNotFound         Code = 7001
	KeyxRequestNotFound         Code = 7002
	UnidentifiedKeyxKeyID       Code = 7003
	UnsupportedKeyxKeyID        Code = 7004
	UnidentifiedKeyxMechanism   Code = 7005
	UnsupportedKeyxMechanism    Code = 7006
	KeyxResponseRequestMismatch Code = 7007
	KeyxPrivateKeyMissing       Code = 7008
	UnknownKeyxParametersID     Code = 7009
	KeyxMasterTokenMissing      Code = 7010
	KeyxInvalidPublicKey        Code = 7011
	KeyxPublicKeyMissing        Code = 7012
	KeyxWrappingKeyMissing      Code = 7013
	KeyxWrappingKeyIDMissing    Code = 7014
	KeyxInvalidWrappingKey      Code = 7015
	KeyxIncorrectData           Code = 7016
	KeyxIncorrectMechanism      Code = 7017
	KeyxDerivationKeyMissing    Code = 7018
	KeyxInvalidEncryptionKey    Code = 7019
	KeyxInvalidHMACKey          Code = 7020
	KeyxInvalidWrapData         Code = 7021
	UnsupportedKeyxScheme       Code = 7022
	KeyxIdentityNotFound        Code = 7023

	// Internal.
	InternalException Code = 9000
	CommsFailure      Code = 9001
	None              Code = 9999
)

// info is what the protocol says of one code.
type info struct {
	name     string
	response ResponseCode
	text     string
}

var codes = map[Code]info{
	ParseError:                                    {"MSL_PARSE_ERROR", Fail, "an encoded object could not be parsed, or a required member is missing or of the wrong type"},
	EncodeError:                                   {"MSL_ENCODE_ERROR", Fail, "an object could not be encoded"},
	EnvelopeHashMismatch:                          {"ENVELOPE_HASH_MISMATCH", Fail, "hash inside a (legacy) envelope differs from the computed one"},
	InvalidPublicKey:                              {"INVALID_PUBLIC_KEY", Fail, "public key unusable"},
	InvalidPrivateKey:                             {"INVALID_PRIVATE_KEY", Fail, "private key unusable"},
	PlaintextIllegalBlockSize:                     {"PLAINTEXT_ILLEGAL_BLOCK_SIZE", Fail, "plaintext length does not fit the cipher's block size"},
	PlaintextBadPadding:                           {"PLAINTEXT_BAD_PADDING", Fail, "plaintext padding wrong"},
	CiphertextIllegalBlockSize:                    {"CIPHERTEXT_ILLEGAL_BLOCK_SIZE", Fail, "ciphertext length does not fit the cipher's block size"},
	CiphertextBadPadding:                          {"CIPHERTEXT_BAD_PADDING", Fail, "ciphertext padding wrong after decryption"},
	EncryptNotSupported:                           {"ENCRYPT_NOT_SUPPORTED", Fail, "this context cannot encrypt (no key or not allowed)"},
	DecryptNotSupported:                           {"DECRYPT_NOT_SUPPORTED", Fail, "this context cannot decrypt"},
	EnvelopeKeyIDMismatch:                         {"ENVELOPE_KEY_ID_MISMATCH", Fail, "key ID in the ciphertext envelope is not that of the context"},
	CiphertextEnvelopeParseError:                  {"CIPHERTEXT_ENVELOPE_PARSE_ERROR", Fail, "ciphertext envelope malformed"},
	CiphertextEnvelopeEncodeError:                 {"CIPHERTEXT_ENVELOPE_ENCODE_ERROR", Fail, "ciphertext envelope could not be built"},
	SignNotSupported:                              {"SIGN_NOT_SUPPORTED", Fail, "this context cannot sign"},
	VerifyNotSupported:                            {"VERIFY_NOT_SUPPORTED", Fail, "this context cannot verify"},
	SignatureError:                                {"SIGNATURE_ERROR", Fail, "signature engine failed on the data or signature"},
	HMACError:                                     {"HMAC_ERROR", Fail, "HMAC computation failed"},
	EncryptError:                                  {"ENCRYPT_ERROR", Fail, "encryption operation failed"},
	DecryptError:                                  {"DECRYPT_ERROR", Fail, "decryption operation failed"},
	InsufficientCiphertext:                        {"INSUFFICIENT_CIPHERTEXT", Fail, "ciphertext too short"},
	SessionKeyCreationFailure:                     {"SESSION_KEY_CREATION_FAILURE", Fail, "session keys could not be created"},
	InvalidSymmetricKey:                           {"INVALID_SYMMETRIC_KEY", Fail, "symmetric key unusable"},
	InvalidEncryptionKey:                          {"INVALID_ENCRYPTION_KEY", Fail, "encryption key unusable"},
	InvalidHMACKey:                                {"INVALID_HMAC_KEY", Fail, "HMAC key unusable"},
	WrapNotSupported:                              {"WRAP_NOT_SUPPORTED", Fail, "this context cannot wrap keys"},
	UnwrapNotSupported:                            {"UNWRAP_NOT_SUPPORTED", Fail, "this context cannot unwrap keys"},
	UnidentifiedJWKType:                           {"UNIDENTIFIED_JWK_TYPE", Fail, "JSON Web Key type unknown"},
	UnidentifiedJWKUsage:                          {"UNIDENTIFIED_JWK_USAGE", Fail, "JSON Web Key usage unknown"},
	UnidentifiedJWKAlgorithm:                      {"UNIDENTIFIED_JWK_ALGORITHM", Fail, "JSON Web Key algorithm unknown"},
	WrapError:                                     {"WRAP_ERROR", Fail, "key wrapping failed"},
	UnwrapError:                                   {"UNWRAP_ERROR", Fail, "key unwrapping failed"},
	InvalidJWK:                                    {"INVALID_JWK", Fail, "JSON Web Key malformed"},
	InvalidJWKKeyData:                             {"INVALID_JWK_KEYDATA", Fail, "key bytes inside a JSON Web Key malformed"},
	UnsupportedJWKAlgorithm:                       {"UNSUPPORTED_JWK_ALGORITHM", Fail, "JSON Web Key algorithm known but not usable here"},
	WrapKeyCreationFailure:                        {"WRAP_KEY_CREATION_FAILURE", Fail, "wrapping key could not be created"},
	InvalidWrapCiphertext:                         {"INVALID_WRAP_CIPHERTEXT", Fail, "wrapped-key ciphertext malformed"},
	UnsupportedJWEAlgorithm:                       {"UNSUPPORTED_JWE_ALGORITHM", Fail, "JWE algorithm not supported"},
	JWEEncodeError:                                {"JWE_ENCODE_ERROR", Fail, "JWE header could not be built"},
	JWEParseError:                                 {"JWE_PARSE_ERROR", Fail, "JWE header could not be parsed"},
	InvalidAlgorithmParams:                        {"INVALID_ALGORITHM_PARAMS", Fail, "algorithm parameters rejected"},
	JWEAlgorithmMismatch:                          {"JWE_ALGORITHM_MISMATCH", Fail, "JWE header names other algorithms than the context uses"},
	KeyImportError:                                {"KEY_IMPORT_ERROR", Fail, "key import failed"},
	KeyExportError:                                {"KEY_EXPORT_ERROR", Fail, "key export failed"},
	DigestError:                                   {"DIGEST_ERROR", Fail, "digest computation failed"},
	UnsupportedKey:                                {"UNSUPPORTED_KEY", Fail, "key type or algorithm not supported"},
	UnsupportedJWESerialization:                   {"UNSUPPORTED_JWE_SERIALIZATION", Fail, "JWE serialization form not supported"},
	InvalidWrappingKey:                            {"INVALID_WRAPPING_KEY", Fail, "wrapping key unusable"},
	UnidentifiedCiphertextEnvelope:                {"UNIDENTIFIED_CIPHERTEXT_ENVELOPE", Fail, "ciphertext envelope version cannot be determined"},
	UnidentifiedSignatureEnvelope:                 {"UNIDENTIFIED_SIGNATURE_ENVELOPE", Fail, "signature envelope version cannot be determined"},
	UnsupportedCiphertextEnvelope:                 {"UNSUPPORTED_CIPHERTEXT_ENVELOPE", Fail, "ciphertext envelope version not supported"},
	UnsupportedSignatureEnvelope:                  {"UNSUPPORTED_SIGNATURE_ENVELOPE", Fail, "signature envelope version not supported"},
	UnidentifiedCipherSpec:                        {"UNIDENTIFIED_CIPHERSPEC", Fail, "cipher specification unknown"},
	UnidentifiedAlgorithm:                         {"UNIDENTIFIED_ALGORITHM", Fail, "algorithm name unknown"},
	SignatureEnvelopeParseError:                   {"SIGNATURE_ENVELOPE_PARSE_ERROR", Fail, "signature envelope malformed"},
	SignatureEnvelopeEncodeError:                  {"SIGNATURE_ENVELOPE_ENCODE_ERROR", Fail, "signature envelope could not be built"},
	InvalidSignature:                              {"INVALID_SIGNATURE", Fail, "signature malformed"},
	DeriveKeyError:                                {"DERIVEKEY_ERROR", Fail, "key derivation failed"},
	UnidentifiedJWKKeyOp:                          {"UNIDENTIFIED_JWK_KEYOP", Fail, "JSON Web Key operation unknown"},
	GenerateKeyError:                              {"GENERATEKEY_ERROR", Fail, "key generation failed"},
	InvalidIV:                                     {"INVALID_IV", Fail, "initialization vector malformed"},
	InvalidCiphertext:                             {"INVALID_CIPHERTEXT", Fail, "ciphertext malformed"},
	MasterTokenUntrusted:                          {"MASTERTOKEN_UNTRUSTED", EntityReauth, "master token neither verifiable locally nor known in the store"},
	MasterTokenKeyCreationError:                   {"MASTERTOKEN_KEY_CREATION_ERROR", EntityReauth, "session keys inside the master token unusable"},
	MasterTokenExpiresBeforeRenewal:               {"MASTERTOKEN_EXPIRES_BEFORE_RENEWAL", EntityReauth, "master token expires before its renewal window opens"},
	MasterTokenSessionDataMissing:                 {"MASTERTOKEN_SESSIONDATA_MISSING", EntityReauth, "master token has no session data"},
	MasterTokenSequenceNumberOutOfRange:           {"MASTERTOKEN_SEQUENCE_NUMBER_OUT_OF_RANGE", EntityReauth, "sequence number outside 0..2^53"},
	MasterTokenSerialNumberOutOfRange:             {"MASTERTOKEN_SERIAL_NUMBER_OUT_OF_RANGE", EntityReauth, "serial number outside 0..2^53"},
	MasterTokenTokenDataInvalid:                   {"MASTERTOKEN_TOKENDATA_INVALID", EntityReauth, "token data malformed"},
	MasterTokenSignatureInvalid:                   {"MASTERTOKEN_SIGNATURE_INVALID", EntityReauth, "token signature malformed"},
	MasterTokenSessionDataInvalid:                 {"MASTERTOKEN_SESSIONDATA_INVALID", EntityReauth, "session data malformed"},
	MasterTokenSequenceNumberOutOfSync:            {"MASTERTOKEN_SEQUENCE_NUMBER_OUT_OF_SYNC", EntityReauth, "token is not the newest issued to this entity (renewal refused)"},
	MasterTokenTokenDataMissing:                   {"MASTERTOKEN_TOKENDATA_MISSING", EntityReauth, "token data empty"},
	MasterTokenTokenDataParseError:                {"MASTERTOKEN_TOKENDATA_PARSE_ERROR", EntityReauth, "token data could not be parsed"},
	MasterTokenSessionDataParseError:              {"MASTERTOKEN_SESSIONDATA_PARSE_ERROR", EntityReauth, "session data could not be parsed"},
	MasterTokenIdentityRevoked:                    {"MASTERTOKEN_IDENTITY_REVOKED", EntityReauth, "issuer has revoked the entity or the token"},
	MasterTokenRejectedByApp:                      {"MASTERTOKEN_REJECTED_BY_APP", EntityReauth, "application rejected the entity; message used a master token"},
	MasterTokenIssuerDataEncodeError:              {"MASTERTOKEN_ISSUERDATA_ENCODE_ERROR", Fail, "issuer data could not be merged/encoded on renewal"},
	UserIDTokenMasterTokenMismatch:                {"USERIDTOKEN_MASTERTOKEN_MISMATCH", UserReauth, "UIT bound to another master token"},
	UserIDTokenNotDecrypted:                       {"USERIDTOKEN_NOT_DECRYPTED", UserReauth, "UIT needed in decrypted form but is not"},
	UserIDTokenMasterTokenNull:                    {"USERIDTOKEN_MASTERTOKEN_NULL", UserReauth, "UIT used without any master token (not on parsing a UIT: that is 2000)"},
	UserIDTokenExpiresBeforeRenewal:               {"USERIDTOKEN_EXPIRES_BEFORE_RENEWAL", UserReauth, "UIT expires before its renewal window opens"},
	UserIDTokenUserDataMissing:                    {"USERIDTOKEN_USERDATA_MISSING", UserReauth, "UIT has no user data"},
	UserIDTokenMasterTokenNotFound:                {"USERIDTOKEN_MASTERTOKEN_NOT_FOUND", UserReauth, "UIT bound to a master token unknown to the store"},
	UserIDTokenMasterTokenSerialNumberOutOfRange:  {"USERIDTOKEN_MASTERTOKEN_SERIAL_NUMBER_OUT_OF_RANGE", UserReauth, "master-token serial number in UIT outside 0..2^53"},
	UserIDTokenSerialNumberOutOfRange:             {"USERIDTOKEN_SERIAL_NUMBER_OUT_OF_RANGE", UserReauth, "UIT serial number outside 0..2^53"},
	UserIDTokenTokenDataInvalid:                   {"USERIDTOKEN_TOKENDATA_INVALID", UserReauth, "token data malformed"},
	UserIDTokenSignatureInvalid:                   {"USERIDTOKEN_SIGNATURE_INVALID", UserReauth, "token signature malformed"},
	UserIDTokenUserDataInvalid:                    {"USERIDTOKEN_USERDATA_INVALID", UserReauth, "user data malformed"},
	UserIDTokenIdentityInvalid:                    {"USERIDTOKEN_IDENTITY_INVALID", UserReauth, "user identity in UIT missing or empty"},
	Reserved2012:                                  {"RESERVED_2012", UserReauth, "retired; formerly: entity not associated with user"},
	UserIDTokenIdentityNotFound:                   {"USERIDTOKEN_IDENTITY_NOT_FOUND", UserReauth, "(JavaScript only) user identity not found"},
	UserIDTokenPasswordVersionChanged:             {"USERIDTOKEN_PASSWORD_VERSION_CHANGED", UserReauth, "(JavaScript only) password changed since UIT was issued"},
	UserIDTokenUserAuthDataMismatch:               {"USERIDTOKEN_USERAUTH_DATA_MISMATCH", UserReauth, "credentials and UIT in the same message name different users"},
	UserIDTokenTokenDataMissing:                   {"USERIDTOKEN_TOKENDATA_MISSING", UserReauth, "token data empty"},
	UserIDTokenTokenDataParseError:                {"USERIDTOKEN_TOKENDATA_PARSE_ERROR", UserReauth, "token data could not be parsed"},
	UserIDTokenUserDataParseError:                 {"USERIDTOKEN_USERDATA_PARSE_ERROR", UserReauth, "user data could not be parsed"},
	UserIDTokenRevoked:                            {"USERIDTOKEN_REVOKED", UserReauth, "issuer has revoked the UIT"},
	UserIDTokenRejectedByApp:                      {"USERIDTOKEN_REJECTED_BY_APP", UserDataReauth, "application rejected the user; message used a UIT"},
	ServiceTokenMasterTokenMismatch:               {"SERVICETOKEN_MASTERTOKEN_MISMATCH", Fail, "service token bound to another master token"},
	ServiceTokenUserIDTokenMismatch:               {"SERVICETOKEN_USERIDTOKEN_MISMATCH", Fail, "service token bound to another UIT"},
	ServiceTokenServiceDataInvalid:                {"SERVICETOKEN_SERVICEDATA_INVALID", Fail, "service data malformed"},
	ServiceTokenMasterTokenNotFound:               {"SERVICETOKEN_MASTERTOKEN_NOT_FOUND", Fail, "service token bound to a master token unknown to the store"},
	ServiceTokenUserIDTokenNotFound:               {"SERVICETOKEN_USERIDTOKEN_NOT_FOUND", Fail, "service token bound to a UIT unknown to the store"},
	ServiceTokenMasterTokenSerialNumberOutOfRange: {"SERVICETOKEN_MASTERTOKEN_SERIAL_NUMBER_OUT_OF_RANGE", Fail, "bound master-token serial number outside 0..2^53"},
	ServiceTokenUserIDTokenSerialNumberOutOfRange: {"SERVICETOKEN_USERIDTOKEN_SERIAL_NUMBER_OUT_OF_RANGE", Fail, "bound UIT serial number outside 0..2^53"},
	ServiceTokenTokenDataInvalid:                  {"SERVICETOKEN_TOKENDATA_INVALID", Fail, "token data malformed"},
	ServiceTokenSignatureInvalid:                  {"SERVICETOKEN_SIGNATURE_INVALID", Fail, "token signature malformed"},
	ServiceTokenTokenDataMissing:                  {"SERVICETOKEN_TOKENDATA_MISSING", Fail, "token data empty"},
	UnidentifiedEntityAuthScheme:                  {"UNIDENTIFIED_ENTITYAUTH_SCHEME", Fail, "entity authentication scheme name unknown"},
	EntityAuthFactoryNotFound:                     {"ENTITYAUTH_FACTORY_NOT_FOUND", Fail, "scheme known but not enabled here"},
	X509CertParseError:                            {"X509CERT_PARSE_ERROR", EntityDataReauth, "X.509 certificate could not be parsed"},
	X509CertEncodeError:                           {"X509CERT_ENCODE_ERROR", EntityDataReauth, "X.509 certificate could not be encoded"},
	X509CertVerificationFailed:                    {"X509CERT_VERIFICATION_FAILED", EntityDataReauth, "certificate chain not trusted"},
	EntityNotFound:                                {"ENTITY_NOT_FOUND", Fail, "no such entity / no keys for it"},
	IncorrectEntityAuthData:                       {"INCORRECT_ENTITYAUTH_DATA", Fail, "entity is not allowed to use this scheme"},
	RSAPublicKeyNotFound:                          {"RSA_PUBLICKEY_NOT_FOUND", EntityDataReauth, "no RSA public key for the identity"},
	UnsupportedEntityAuthData:                     {"UNSUPPORTED_ENTITYAUTH_DATA", Fail, "authentication data form not supported"},
	EntityRevoked:                                 {"ENTITY_REVOKED", Fail, "entity revoked"},
	EntityRejectedByApp:                           {"ENTITY_REJECTED_BY_APP", EntityDataReauth, "application rejected the entity; message used entity authentication data"},
	X509CertExpired:                               {"X509CERT_EXPIRED", EntityDataReauth, "certificate expired"},
	X509CertNotYetValid:                           {"X509CERT_NOT_YET_VALID", EntityDataReauth, "certificate not yet valid"},
	X509CertInvalid:                               {"X509CERT_INVALID", EntityDataReauth, "certificate unusable"},
	RSAPrivateKeyNotFound:                         {"RSA_PRIVATEKEY_NOT_FOUND", EntityDataReauth, "no RSA private key for the identity"},
	EntityAuthMasterTokenNotDecrypted:             {"ENTITYAUTH_MASTERTOKEN_NOT_DECRYPTED", Fail, "master token inside master-token-protected data not trusted"},
	EntityAuthSignatureInvalid:                    {"ENTITYAUTH_SIGNATURE_INVALID", EntityDataReauth, "signature inside entity data malformed"},
	EntityAuthCiphertextInvalid:                   {"ENTITYAUTH_CIPHERTEXT_INVALID", EntityDataReauth, "ciphertext inside entity data malformed"},
	EntityAuthVerificationFailed:                  {"ENTITYAUTH_VERIFICATION_FAILED", EntityDataReauth, "signature inside entity data wrong"},
	EntityAuthMasterTokenInvalid:                  {"ENTITYAUTH_MASTERTOKEN_INVALID", Fail, "master token inside entity data malformed"},
	ECCPublicKeyNotFound:                          {"ECC_PUBLICKEY_NOT_FOUND", EntityDataReauth, "no ECC public key for the identity"},
	ECCPrivateKeyNotFound:                         {"ECC_PRIVATEKEY_NOT_FOUND", EntityDataReauth, "no ECC private key for the identity"},
	UnidentifiedUserAuthScheme:                    {"UNIDENTIFIED_USERAUTH_SCHEME", Fail, "user authentication scheme name unknown"},
	UserAuthFactoryNotFound:                       {"USERAUTH_FACTORY_NOT_FOUND", Fail, "scheme known but not enabled here"},
	EmailPasswordBlank:                            {"EMAILPASSWORD_BLANK", UserDataReauth, "E-mail or password empty after trimming"},
	EmailPasswordIncorrect:                        {"EMAILPASSWORD_INCORRECT", UserDataReauth, "E-mail/password pair wrong"},
	UnsupportedUserAuthData:                       {"UNSUPPORTED_USERAUTH_DATA", Fail, "user authentication data form not supported"},
	UserAuthUserIDTokenInvalid:                    {"USERAUTH_USERIDTOKEN_INVALID", UserDataReauth, "UIT inside credentials malformed"},
	UnidentifiedUserAuthMechanism:                 {"UNIDENTIFIED_USERAUTH_MECHANISM", Fail, "mechanism name unknown"},
	UnsupportedUserAuthMechanism:                  {"UNSUPPORTED_USERAUTH_MECHANISM", Fail, "mechanism not supported"},
	UserAuthMasterTokenMissing:                    {"USERAUTH_MASTERTOKEN_MISSING", UserDataReauth, "required master token missing in credentials"},
	UserAuthUserIDTokenNotDecrypted:               {"USERAUTH_USERIDTOKEN_NOT_DECRYPTED", UserDataReauth, "UIT inside credentials not trusted"},
	UserAuthMasterTokenInvalid:                    {"USERAUTH_MASTERTOKEN_INVALID", UserDataReauth, "master token inside credentials malformed"},
	UserAuthMasterTokenNotDecrypted:               {"USERAUTH_MASTERTOKEN_NOT_DECRYPTED", UserDataReauth, "master token inside credentials not trusted"},
	UserAuthUserIDTokenMissing:                    {"USERAUTH_USERIDTOKEN_MISSING", UserDataReauth, "required UIT missing in credentials"},
	UserAuthEntityMismatch:                        {"USERAUTH_ENTITY_MISMATCH", UserDataReauth, "credentials belong to another entity"},
	UserAuthEntityIncorrectData:                   {"USERAUTH_ENTITY_INCORRECT_DATA", Fail, "entity is not allowed to use this user scheme"},
	UserRejectedByApp:                             {"USER_REJECTED_BY_APP", UserDataReauth, "application rejected the user; message used credentials (or no user)"},
	UserIDTokenIdentityNotAssociatedWithEntity:    {"USERIDTOKEN_IDENTITY_NOT_ASSOCIATED_WITH_ENTITY", UserDataReauth, "user not associated with the entity (JavaScript maps this to USER_REAUTH)"},
	UserAuthEntityUserIncorrectData:               {"USERAUTH_ENTITYUSER_INCORRECT_DATA", UserDataReauth, "this entity-and-user pair may not use this scheme"},
	UserAuthVerificationFailed:                    {"USERAUTH_VERIFICATION_FAILED", UserDataReauth, "signature on credentials wrong"},
	UserAuthUserIDTokenRevokeCheckError:           {"USERAUTH_USERIDTOKEN_REVOKE_CHECK_ERROR", UserDataReauth, "revocation state of the UIT in the credentials could not be determined"},
	UnsupportedCompression:                        {"UNSUPPORTED_COMPRESSION", Fail, "compression algorithm known but not implemented"},
	CompressionError:                              {"COMPRESSION_ERROR", Fail, "compression failed"},
	UncompressionError:                            {"UNCOMPRESSION_ERROR", Fail, "decompression failed or expansion limit exceeded"},
	MessageEntityNotFound:                         {"MESSAGE_ENTITY_NOT_FOUND", Fail, "neither entity data nor master token present"},
	PayloadMessageIDMismatch:                      {"PAYLOAD_MESSAGE_ID_MISMATCH", Fail, "chunk belongs to another message ID"},
	PayloadSequenceNumberMismatch:                 {"PAYLOAD_SEQUENCE_NUMBER_MISMATCH", Fail, "chunk sequence number not the expected one"},
	PayloadVerificationFailed:                     {"PAYLOAD_VERIFICATION_FAILED", Fail, "chunk signature wrong"},
	MessageDataMissing:                            {"MESSAGE_DATA_MISSING", Fail, "no message found on the stream"},
	MessageFormatError:                            {"MESSAGE_FORMAT_ERROR", Fail, "message malformed"},
	MessageVerificationFailed:                     {"MESSAGE_VERIFICATION_FAILED", Fail, "error-header signature wrong (older stacks: any header)"},
	HeaderDataMissing:                             {"HEADER_DATA_MISSING", Fail, "header data / error data empty"},
	PayloadDataMissing:                            {"PAYLOAD_DATA_MISSING", Fail, "empty data in a chunk that is not the last"},
	PayloadDataCorrupt:                            {"PAYLOAD_DATA_CORRUPT", Fail, "corrupt data in a chunk that is not the last"},
	UnidentifiedCompression:                       {"UNIDENTIFIED_COMPRESSION", Fail, "compression algorithm name unknown"},
	MessageExpired:                                {"MESSAGE_EXPIRED", Expired, "token expired and message cannot renew it (older combined code)"},
	MessageIDOutOfRange:                           {"MESSAGE_ID_OUT_OF_RANGE", Fail, "message ID outside 0..2^53"},
	InternalCodeNegative:                          {"INTERNAL_CODE_NEGATIVE", Fail, "negative internal code in an error header"},
	UnexpectedResponseMessageID:                   {"UNEXPECTED_RESPONSE_MESSAGE_ID", Fail, "response ID is not request ID + 1"},
	ResponseRequiresEncryption:                    {"RESPONSE_REQUIRES_ENCRYPTION", KeyxRequired, "answer must be encrypted but cannot be"},
	PayloadSequenceNumberOutOfRange:               {"PAYLOAD_SEQUENCE_NUMBER_OUT_OF_RANGE", Fail, "chunk sequence number out of range"},
	PayloadMessageIDOutOfRange:                    {"PAYLOAD_MESSAGE_ID_OUT_OF_RANGE", Fail, "chunk message ID out of range"},
	MessageReplayed:                               {"MESSAGE_REPLAYED", Replayed, "non-replayable ID already used or slightly too old"},
	IncompleteNonReplayableMessage:                {"INCOMPLETE_NONREPLAYABLE_MESSAGE", Fail, "non-replayable ID without a master token"},
	HeaderSignatureInvalid:                        {"HEADER_SIGNATURE_INVALID", Fail, "header signature malformed"},
	HeaderDataInvalid:                             {"HEADER_DATA_INVALID", Fail, "header data malformed"},
	PayloadInvalid:                                {"PAYLOAD_INVALID", Fail, "payload malformed"},
	PayloadSignatureInvalid:                       {"PAYLOAD_SIGNATURE_INVALID", Fail, "payload signature malformed"},
	ResponseRequiresMasterToken:                   {"RESPONSE_REQUIRES_MASTERTOKEN", KeyxRequired, "answer must attach a UIT but no master token exists"},
	ResponseRequiresUserIDToken:                   {"RESPONSE_REQUIRES_USERIDTOKEN", UserReauth, "answer needs a UIT (raised by applications)"},
	RequestRequiresUserAuthData:                   {"REQUEST_REQUIRES_USERAUTHDATA", Fail, "user-associated message lacks credentials"},
	UnexpectedMessageSender:                       {"UNEXPECTED_MESSAGE_SENDER", Fail, "sender is not the master token's entity (older stacks)"},
	NonReplayableMessageRequiresMasterToken:       {"NONREPLAYABLE_MESSAGE_REQUIRES_MASTERTOKEN", Fail, "builder asked for a non-replayable message without a master token"},
	NonReplayableIDOutOfRange:                     {"NONREPLAYABLE_ID_OUT_OF_RANGE", Fail, "non-replayable ID outside 0..2^53"},
	MessageServiceTokenMismatch:                   {"MESSAGE_SERVICETOKEN_MISMATCH", Fail, "service token serials do not fit the message's tokens"},
	MessagePeerServiceTokenMismatch:               {"MESSAGE_PEER_SERVICETOKEN_MISMATCH", Fail, "peer service token serials do not fit the peer tokens"},
	ResponseRequiresIntegrityProtection:           {"RESPONSE_REQUIRES_INTEGRITY_PROTECTION", KeyxRequired, "answer must be integrity protected but cannot be"},
	HandshakeDataMissing:                          {"HANDSHAKE_DATA_MISSING", Fail, "handshake message not renewable or without key request data"},
	MessageRecipientMismatch:                      {"MESSAGE_RECIPIENT_MISMATCH", Fail, "message addressed to another recipient (older stacks)"},
	MessageEntityDataBasedVerificationFailed:      {"MESSAGE_ENTITYDATABASED_VERIFICATION_FAILED", EntityDataReauth, "header signature wrong; entity data was used"},
	MessageMasterTokenBasedVerificationFailed:     {"MESSAGE_MASTERTOKENBASED_VERIFICATION_FAILED", EntityReauth, "header signature wrong; master token was used"},
	MessageReplayedUnrecoverable:                  {"MESSAGE_REPLAYED_UNRECOVERABLE", EntityReauth, "non-replayable ID too far out of step to catch up"},
	UnexpectedLocalMessageSender:                  {"UNEXPECTED_LOCAL_MESSAGE_SENDER", Fail, "sender is the receiver itself, i.e. reflected (older stacks)"},
	UnencryptedMessageWithUserAuthData:            {"UNENCRYPTED_MESSAGE_WITH_USERAUTHDATA", Fail, "credentials in an unencrypted header"},
	MessageSenderMismatch:                         {"MESSAGE_SENDER_MISMATCH", Fail, "remote identity is not the expected one"},
	MessageExpiredNotRenewable:                    {"MESSAGE_EXPIRED_NOT_RENEWABLE", Expired, "issuer's token expired and message not renewable"},
	MessageExpiredNoKeyRequestData:                {"MESSAGE_EXPIRED_NO_KEYREQUEST_DATA", Expired, "issuer's token expired and no key request data"},
	UnidentifiedKeyxScheme:                        {"UNIDENTIFIED_KEYX_SCHEME", Fail, "key exchange scheme name unknown"},
	KeyxFactoryNotFound:                           {"KEYX_FACTORY_NOT_FOUND", Fail, "scheme known but not enabled here / no common scheme"},
	KeyxRequestNotFound:                           {"KEYX_REQUEST_NOT_FOUND", Fail, "no request matches the key response"},
	UnidentifiedKeyxKeyID:                         {"UNIDENTIFIED_KEYX_KEY_ID", Fail, "key ID name unknown"},
	UnsupportedKeyxKeyID:                          {"UNSUPPORTED_KEYX_KEY_ID", Fail, "key ID not supported"},
	UnidentifiedKeyxMechanism:                     {"UNIDENTIFIED_KEYX_MECHANISM", Fail, "mechanism name unknown"},
	UnsupportedKeyxMechanism:                      {"UNSUPPORTED_KEYX_MECHANISM", Fail, "mechanism not supported"},
	KeyxResponseRequestMismatch:                   {"KEYX_RESPONSE_REQUEST_MISMATCH", Fail, "key response does not belong to any offered request"},
	KeyxPrivateKeyMissing:                         {"KEYX_PRIVATE_KEY_MISSING", Fail, "requester lost its private key"},
	UnknownKeyxParametersID:                       {"UNKNOWN_KEYX_PARAMETERS_ID", Fail, "diffie-Hellman parameter set unknown or different"},
	KeyxMasterTokenMissing:                        {"KEYX_MASTER_TOKEN_MISSING", Fail, "scheme needs a master token and none is there"},
	KeyxInvalidPublicKey:                          {"KEYX_INVALID_PUBLIC_KEY", Fail, "public key invalid"},
	KeyxPublicKeyMissing:                          {"KEYX_PUBLIC_KEY_MISSING", Fail, "public key missing"},
	KeyxWrappingKeyMissing:                        {"KEYX_WRAPPING_KEY_MISSING", Fail, "wrapping key unknown"},
	KeyxWrappingKeyIDMissing:                      {"KEYX_WRAPPING_KEY_ID_MISSING", Fail, "wrapping key ID missing"},
	KeyxInvalidWrappingKey:                        {"KEYX_INVALID_WRAPPING_KEY", Fail, "wrapping key invalid"},
	KeyxIncorrectData:                             {"KEYX_INCORRECT_DATA", Fail, "entity is not allowed to use this scheme"},
	KeyxIncorrectMechanism:                        {"KEYX_INCORRECT_MECHANISM", Fail, "entity used a mechanism it may not use"},
	KeyxDerivationKeyMissing:                      {"KEYX_DERIVATION_KEY_MISSING", Fail, "derivation key missing"},
	KeyxInvalidEncryptionKey:                      {"KEYX_INVALID_ENCRYPTION_KEY", Fail, "encryption key invalid"},
	KeyxInvalidHMACKey:                            {"KEYX_INVALID_HMAC_KEY", Fail, "HMAC key invalid"},
	KeyxInvalidWrapData:                           {"KEYX_INVALID_WRAPDATA", Fail, "wrap data invalid"},
	UnsupportedKeyxScheme:                         {"UNSUPPORTED_KEYX_SCHEME", Fail, "scheme not supported"},
	KeyxIdentityNotFound:                          {"KEYX_IDENTITY_NOT_FOUND", Fail, "identity needed for the exchange not found"},
	InternalException:                             {"INTERNAL_EXCEPTION", TransientFailure, "unexpected internal failure"},
	CommsFailure:                                  {"MSL_COMMS_FAILURE", Fail, "transport failure while talking to the other entity"},
	None:                                          {"NONE", Fail, "reserved for tests"},
}
